/** Against a running server: the provider, the translator, turns that follow each other, a drop. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { smoothStream, streamText } from "ai";
import { drain, resumeResponse, translateRawParts, translateResponseStream, type UiChunk } from "../src/index.ts";
import { all, ofType } from "./golden.ts";
import { absent, live, type Live } from "./live.ts";

describe("a running server", { skip: absent }, () => {
  let server: Live;
  before(async () => void (server = await live()));
  after(() => server.stop());

  const baseURL = () => `${server.url}/agent/7`;
  const model = () => createOpenAI({ baseURL: baseURL(), apiKey: "unused", headers: server.headers }).responses("agent");
  const said = (chunks: UiChunk[]) => ofType(chunks, "text-delta").map((chunk) => chunk.delta).join("");

  test("streamText's text is all of the text, and smoothing parts it by words (R55, R63)", async () => {
    const plain = streamText({ model: model(), prompt: "hello" });
    const pieces: string[] = [];
    for await (const piece of plain.textStream) pieces.push(piece);
    const smooth = streamText({
      model: model(),
      prompt: "hello",
      experimental_transform: smoothStream({ delayInMs: null, chunking: "word" }),
    });
    const words: string[] = [];
    for await (const word of smooth.textStream) words.push(word);
    assert.match(pieces.join(""), /^I am the desk\. .*look it up\.$/);
    assert.equal(words.join(""), pieces.join(""));
    assert.ok(words.slice(0, -1).every((word) => /^\S+\s+$/.test(word)), words.join("|"));
  });

  test("every event is a raw part, the one that completes has the response's id (R59, R66, R69)", async () => {
    const result = streamText({ model: model(), prompt: "hello", includeRawChunks: true });
    const raw: Record<string, unknown>[] = [];
    for await (const part of result.stream) {
      if (part.type === "raw") raw.push(part.rawValue as Record<string, unknown>);
    }
    const direct = await fetch(`${baseURL()}/responses/${responseOf(raw.at(-1))}?stream=true`, { headers: server.headers });
    const sent = (await direct.text()).split("\n").filter((line) => line.startsWith("data: {"));
    assert.deepEqual(raw, sent.map((line) => JSON.parse(line.slice(6))));
    assert.equal(raw.at(-1)?.["type"], "response.completed");
    assert.match(responseOf(raw.at(-1)), /^resp_/);
  });

  const responseOf = (event: Record<string, unknown> | undefined) => (event?.["response"] as { id: string }).id;

  test("provider, turns, captured id, registry, subagents and resume, in one go (R72, R99, R100)", async () => {
    const first = streamText({ model: model(), prompt: "trial period", includeRawChunks: true });
    const [forClient, forStore] = translateRawParts(first.stream).tee();
    void forClient.cancel();
    const chunks: UiChunk[] = [];
    const found = await drain(forStore, (chunk) => chunks.push(chunk));
    assert.equal(found.ok, true);
    assert.ok(found.timeToFirstToken !== undefined && found.timeToFirstToken >= 0);
    assert.ok((found.usage?.totalTokens ?? 0) > 0);
    const [panel] = ofType(chunks, "data-subagent");
    assert.deepEqual([panel?.data.name, panel?.data.kind, panel?.data.parentId], ["jurist", "subagent", "MAIN"]);
    assert.deepEqual(ofType(chunks, "data-toolCall").map((chunk) => chunk.data.name), ["task", "search"]);
    assert.equal(ofType(chunks, "data-subagent-end").length, 1);
    assert.deepEqual(
      ofType(chunks, "data-agentRegistry")[0]?.data.map((entry) => entry.name),
      ["desk", "jurist"],
    );

    const responseId = found.responseId ?? "";
    assert.equal(ofType(chunks, "data-conversationId")[0]?.data, responseId, "what the next turn continues");
    for (const startingAfter of [-1, 0, 7, found.sequenceNumber - 1]) {
      const stream = await resumeResponse({ baseURL: baseURL(), responseId, startingAfter, headers: server.headers });
      const rest = await all(stream);
      const place = ofType(rest, "data-streamProgress").at(0)?.data.sequenceNumber;
      assert.equal(place, Math.max(startingAfter, 0));
      assert.ok(said(chunks).endsWith(said(rest)));
    }

    const second = streamText({
      model: model(),
      prompt: "hello",
      providerOptions: { openai: { previousResponseId: responseId } },
      includeRawChunks: true,
    });
    const next = await drain(translateRawParts(second.stream));
    assert.ok(next.ok && next.responseId !== responseId);
    const stored = await fetch(`${baseURL()}/responses/${next.responseId}`, { headers: server.headers });
    assert.equal(((await stored.json()) as { previous_response_id: string }).previous_response_id, responseId);
  });

  test("a plain fetch is translated too; after a drop the same run goes on to its end", async () => {
    const answer = await fetch(`${baseURL()}/responses`, {
      method: "POST",
      headers: { "content-type": "application/json", ...server.headers },
      body: JSON.stringify({ model: "agent", input: "count", stream: true }),
    });
    const seen: UiChunk[] = [];
    for await (const chunk of translateResponseStream(answer)) {
      seen.push(chunk);
      if (chunk.type === "data-streamProgress" && chunk.data.sequenceNumber === 9) break; // which closes it
    }
    const { responseId, sequenceNumber } = ofType(seen, "data-streamProgress").at(-1)!.data;
    const options = { baseURL: baseURL(), responseId, headers: server.headers };
    const rest = await all(await resumeResponse({ ...options, startingAfter: sequenceNumber }));
    const text = said(seen) + said(rest);
    assert.match(text, /^one two three .* twenty-five$/);
    assert.equal(said(await all(await resumeResponse(options))), text);
  });

  test("a run that fails ends in its error, one that is refused in the server's words", async () => {
    const failing = streamText({ model: model(), prompt: "break", includeRawChunks: true, onError: () => {} });
    const failed = await drain(translateRawParts(failing.stream));
    assert.deepEqual([failed.ok, failed.error], [false, "The model died."]);
    const stranger = createOpenAI({ baseURL: baseURL(), apiKey: "unused" }).responses("agent");
    const refused = streamText({ model: stranger, prompt: "hello", includeRawChunks: true, onError: () => {}, maxRetries: 0 });
    const found = await drain(translateRawParts(refused.stream));
    assert.equal(found.ok, false);
    assert.ok(found.error);
    await assert.rejects(resumeResponse({ baseURL: baseURL(), responseId: "resp_none" }), { status: 401 });
  });
});
