/** The AI SDK itself reads what we make: six versions, the strict first and the last tested of each generation. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { translateResponseStream, type UiChunk } from "../src/index.ts";
import { agentBytes, all, body, scenarios } from "./golden.ts";
import type { UIMessageChunk as Chunk5 } from "ai-5.0.0";
import type { UIMessageChunk as Chunk6 } from "ai-6.0.168";
import type { UIMessageChunk as Chunk7 } from "ai";

/** Checked by the compiler: what we make is what they take. */
export const assignable = (chunk: UiChunk): Chunk6 & Chunk7 => chunk;
export const assignableIn5 = (chunk: Exclude<UiChunk, { type: "tool-approval-request" }>): Chunk5 => chunk;

const VERSIONS = ["ai-5.0.0", "ai-5.0.277", "ai-6.0.168", "ai-6.0.326", "ai-7.0.0", "ai"];

interface Part {
  type: string;
  text?: string;
  state?: string;
}
interface Sdk {
  DefaultChatTransport: new (options: { fetch: typeof fetch }) => {
    sendMessages(options: object): Promise<ReadableStream<{ type: string }>>;
  };
  readUIMessageStream(options: object): AsyncIterable<{ id: string; parts: Part[] }>;
}

/** The stream as a browser gets it: through the wire, the transport's schema and the message reducer. */
async function received(sdk: Sdk, scenario: string) {
  const chunks = await all(translateResponseStream(body(agentBytes(scenario))));
  const sse = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("") + "data: [DONE]\n\n";
  const transport = new sdk.DefaultChatTransport({ fetch: async () => new Response(sse) });
  const request = { chatId: "c", messages: [], trigger: "submit-message", messageId: undefined, abortSignal: undefined };
  const errors: string[] = [];
  const stream = (await transport.sendMessages(request)).pipeThrough(
    new TransformStream<{ type: string; errorText?: string }>({
      transform(chunk, controller) {
        if (chunk.type === "error") errors.push(chunk.errorText ?? "");
        else controller.enqueue(chunk);
      },
    }),
  );
  let message: { id: string; parts: Part[] } | undefined;
  const onError = (error: unknown) => assert.fail(String(error));
  for await (const each of sdk.readUIMessageStream({ stream, onError, terminateOnError: true })) message = each;
  return { message, errors, chunks };
}

for (const version of VERSIONS) {
  test(`${version} reads every recorded run (R70, R79)`, async () => {
    const sdk = (await import(version)) as Sdk;
    for (const scenario of scenarios) {
      const { message, errors, chunks } = await received(sdk, scenario);
      const told = chunks.flatMap((chunk) => (chunk.type === "error" ? [chunk.errorText] : []));
      assert.deepEqual(errors, told, scenario);
      const types = (message?.parts ?? []).map((part) => part.type);
      assert.ok(!types.some((type) => /streamProgress|conversationId|agentRegistry/.test(type)), "transient");
      const opened = chunks.filter((chunk) => chunk.type === "data-subagent").length;
      assert.equal(types.filter((type) => type === "data-subagent").length, opened);
      const texts = (message?.parts ?? []).filter((part) => part.type === "text");
      assert.ok(texts.every((part) => part.state === "done"), scenario);
      const said = chunks.flatMap((chunk) => (chunk.type === "text-delta" ? [chunk.delta] : []));
      assert.equal(texts.map((part) => part.text).join("").length, said.join("").length, scenario);
    }
  });
}
