/** Where tailrace is, and how it is asked. */

import { createOpenAI } from "@ai-sdk/openai";

export const SERVER = process.env.TAILRACE_URL ?? "http://127.0.0.1:8700";

/** Both headers, so that an API token and an identity provider's token both do. None is fine on loopback. */
export function headers(): Record<string, string> {
  const token = process.env.TAILRACE_TOKEN;
  return token ? { authorization: `Bearer ${token}`, "x-oauth-access-token": token } : {};
}

/** An agent's own address; its Responses API is below it. Throws on what is no agent's name or number. */
export function agentURL(workflowId: string): string {
  if (!/^[\w.-]+$/.test(workflowId)) throw new RangeError("workflowId must name an agent");
  return `${SERVER}/agent/${workflowId}`;
}

/** The provider of one agent. The SDK wants a key and the headers win over it. */
export function agentProvider(workflowId: string) {
  return createOpenAI({ baseURL: agentURL(workflowId), apiKey: "unused", headers: headers() });
}
