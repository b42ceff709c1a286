/** Around the translator: bytes cut anywhere, refused requests, slow and absent readers, time. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  drain,
  ResumeError,
  resumeResponse,
  SseReader,
  translateRawParts,
  translateResponseStream,
  wholeEvents,
  type UiChunk,
} from "../src/index.ts";
import { agentBytes, all, body, events, ofType, scenarios, streamOf, translate } from "./golden.ts";

test("bytes may be cut anywhere", () => {
  const text = 'event: x\r\ndata: {"a":"é😀"}\r\n\r\n: ping\n\ndata: {"b":\ndata: 2}\n\ndata:{"c":3}\r\rdata: [DONE]\n\ndata: no\n\ndata: {"d":\r\ndata: 4}\r\n\r\n';
  const stream = new TextEncoder().encode(text);
  const expected = [{ a: "é😀" }, { b: 2 }, { c: 3 }, { d: 4 }];
  for (let size = 1; size <= stream.length; size += 1) {
    const reader = new SseReader();
    const found = [];
    for (let at = 0; at < stream.length; at += size) found.push(...reader.take(stream.slice(at, at + size)));
    assert.deepEqual(found, expected, `in pieces of ${size}`);
  }
});

for (const scenario of scenarios) {
  test(`${scenario}: bytes, a fetched response and raw parts are translated alike`, async () => {
    const stream = agentBytes(scenario);
    const expected = translate(events(stream));
    const clock = () => 0;
    const timeless = (chunks: UiChunk[]) =>
      JSON.parse(JSON.stringify(chunks, (key, value) => (key === "timeToFirstToken" ? undefined : value)));
    assert.deepEqual(timeless(await all(translateResponseStream(body(stream, 7), { clock }))), expected);
    assert.deepEqual(timeless(await all(translateResponseStream(new Response(body(stream)), { clock }))), expected);
    async function* parts() {
      yield { type: "start" };
      for (const rawValue of events(stream)) {
        yield { type: "raw", rawValue };
        yield { type: "text-delta", id: "1", text: "read twice?" };
      }
    }
    assert.deepEqual(timeless(await all(translateRawParts(parts(), { clock }))), expected);
  });
}

test("a refused request and a request that never was end in an error with the server's words", async () => {
  const told = Response.json({ error: { message: "No such agent." } }, { status: 404 });
  assert.deepEqual(ofType(await all(translateResponseStream(told)), "error"), [
    { type: "error", errorText: "No such agent." },
  ]);
  async function* parts() {
    yield { type: "error", error: new Error("connect ECONNREFUSED") };
  }
  assert.equal(ofType(await all(translateRawParts(parts())), "error")[0]?.errorText, "connect ECONNREFUSED");
});

test("a body that fails ends in an error", async () => {
  const stream = agentBytes("team").slice(0, 3000);
  let sent = false;
  const failing = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent) throw new TypeError("terminated");
      sent = true;
      controller.enqueue(stream);
    },
  });
  const chunks = await all(translateResponseStream(failing));
  assert.deepEqual(chunks.at(-1), { type: "error", errorText: "terminated" });
});

test("what is drained: id, usage, ok, the last position, the time to the first token (R97, R98)", async () => {
  let now = 1000;
  const stream = translateResponseStream(body(agentBytes("team")), { clock: () => (now += 5) });
  const found = await drain(stream);
  assert.equal(found.responseId, "resp_01kabcdefghjkmnpqrstvwxyz0");
  assert.deepEqual(found.usage, { inputTokens: 12, outputTokens: 11, totalTokens: 23 });
  assert.equal(found.ok, true);
  assert.equal(found.sequenceNumber, events(agentBytes("team")).length - 1);
  assert.equal(found.timeToFirstToken, 5);
});

test("ok is said of completed responses alone", async () => {
  const ok = async (name: string) => (await drain(translateResponseStream(body(agentBytes(name))))).ok;
  assert.equal(await ok("plain"), true);
  assert.equal(await ok("client_tools_first"), true);
  for (const name of ["incomplete", "failure_inside", "failure_before", "cancelled"]) assert.equal(await ok(name), false);
  const cut = agentBytes("plain").slice(0, -400);
  const broken = await drain(translateResponseStream(body(cut)));
  assert.equal(broken.ok, false);
  assert.match(broken.error ?? "", /broke off/);
});

test("the stored copy is whole where the client's branch is gone, or never read (R67)", async () => {
  for (const leave of ["at once", "after a chunk", "never reads"]) {
    const [forClient, forStore] = translateResponseStream(body(agentBytes("team"), 100)).tee();
    if (leave !== "never reads") {
      const reader = forClient.getReader();
      if (leave === "after a chunk") await reader.read();
      void reader.cancel();
    }
    const kept: UiChunk[] = [];
    const found = await drain(forStore, (chunk) => kept.push(chunk));
    assert.equal(found.ok, true, leave);
    const [text] = [ofType(kept, "text-delta").map((chunk) => chunk.delta).join("")];
    assert.match(text, /^Two look\. .*Both found it\.$/);
  }
});

test("who leaves a stream that nobody else reads closes it", async () => {
  let closed = false;
  const source = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new TextEncoder().encode(": ping\n\ndata: {}\n\n")),
    cancel: () => void (closed = true),
  });
  const reader = translateResponseStream(source).getReader();
  await reader.read();
  await reader.cancel();
  assert.equal(closed, true);
});

test("resuming asks for the stored stream and shows the rest", async () => {
  const stream = agentBytes("team");
  const asked: [string, HeadersInit | undefined][] = [];
  const get: typeof fetch = async (address, init) => {
    asked.push([String(address), init?.headers]);
    return new Response(body(stream, 50));
  };
  const options = { baseURL: "http://t/agent/9/", responseId: "resp_1", headers: { authorization: "Bearer oat_1" } };
  const rest = await all(await resumeResponse({ ...options, startingAfter: 30, fetch: get }));
  assert.deepEqual(asked, [
    ["http://t/agent/9/responses/resp_1?stream=true", { accept: "text/event-stream", authorization: "Bearer oat_1" }],
  ]);
  assert.deepEqual(rest.slice(0, 4).map((chunk) => chunk.type), [
    "start",
    "data-conversationId",
    "data-agentRegistry",
    "data-streamProgress",
  ]);
  const positions = ofType(rest, "data-streamProgress").map((chunk) => chunk.data.sequenceNumber);
  assert.deepEqual(positions.slice(0, 3), [30, 31, 32]);
  const whole = await all(await resumeResponse({ ...options, fetch: get }));
  assert.equal(ofType(whole, "data-streamProgress")[0]?.data.sequenceNumber, 0);
});

test("a response that is gone is an error with its status", async () => {
  const get = async () => Response.json({ error: { message: "Expired." } }, { status: 410 });
  const resumed = resumeResponse({ baseURL: "http://t/agent/9", responseId: "resp_1", fetch: get });
  await assert.rejects(resumed, (error) => {
    assert.ok(error instanceof ResumeError);
    assert.deepEqual([error.status, error.message], [410, "Expired."]);
    return true;
  });
});

test("cut after any chunk and resumed at the last position, a page gets each chunk once", async () => {
  const stream = events(agentBytes("team"));
  const whole = translate(stream);
  const shown = (chunks: UiChunk[]) => chunks.filter((chunk) => !("transient" in chunk) && chunk.type !== "start");
  for (let cut = 4; cut < whole.length; cut += 1) {
    let at = 0;
    const breaking = new ReadableStream<UiChunk>({
      pull(controller) {
        if (at === cut) return controller.error(new TypeError("network error"));
        controller.enqueue(whole[at]!);
        at += 1;
      },
    });
    const had: UiChunk[] = [];
    await assert.rejects(async () => {
      for await (const chunk of wholeEvents(breaking)) had.push(chunk);
    }, /network error/);
    const after = ofType(had, "data-streamProgress").at(-1)?.data.sequenceNumber ?? -1;
    const rest = translate(stream, { after });
    assert.deepEqual([...shown(had), ...shown(rest)], shown(whole), `cut after ${cut}`);
  }
  assert.deepEqual(await all(wholeEvents(streamOf(whole))), whole);
});
