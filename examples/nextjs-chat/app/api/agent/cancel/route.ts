/** Ending a run: `stop()` alone only stops reading. */

import { agentURL, headers } from "../../../../lib/tailrace.ts";

export async function POST(request: Request): Promise<Response> {
  const { responseId, workflowId } = (await request.json()) as { responseId: string; workflowId: string };
  const address = `${agentURL(workflowId)}/responses/${encodeURIComponent(responseId)}/cancel`;
  return fetch(address, { method: "POST", headers: headers() });
}
