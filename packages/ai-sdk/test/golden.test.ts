/** The translator over every recorded run, beside what `/api/chat` shows of the same run. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Json, JsonObject, UiChunk } from "../src/index.ts";
import { object } from "../src/json.ts";
import { agentBytes, bytes, events, ofType, scenarios, translate } from "./golden.ts";

/** Where the two are not the same, and why. */
const DIFFERENT: Readonly<Record<string, string>> = {
  asked_for_json_again: "no event says that a reply ended: two texts in a row are one step",
  gateway: "custom events are not on the Responses stream",
  hosted_tools: "a provider's own items and previews are on the Responses stream alone",
  two_attempts_apart: "the Responses stream tells what was cut off, and not what was then said in other words",
  workflow: "custom events, and pictures of other nodes, are not on the Responses stream",
};

interface Loose extends JsonObject {
  type: string;
}

/** What both should agree on: all but ids, positions, and what only one of them can know. */
function comparable(stream: readonly object[]): Loose[] {
  const chunks = JSON.parse(JSON.stringify(stream)) as Loose[];
  const names = new Map<Json, string>();
  const name = (id: Json | undefined) => {
    const known = names.get(id ?? null) ?? `#${names.size}`;
    names.set(id ?? null, known);
    return known;
  };
  const told = (chunk: Loose) => object(chunk, "data");
  const same = (chunk: Loose): Loose => {
    switch (chunk.type) {
      case "start":
        return { type: "start" };
      case "data-conversationId":
        return { ...chunk, data: "" };
      case "data-toolCall":
        return { ...chunk, data: { ...told(chunk), id: name(told(chunk)["id"]) } };
      case "data-approval": {
        const { message: _, ...data } = told(chunk);
        return { ...chunk, data: { ...data, id: name(data["id"]), toolCallId: name(data["toolCallId"]) } };
      }
      case "data-subagent":
        return { ...chunk, data: { ...told(chunk), dispatchedByToolCallId: null } };
      case "finish": {
        const { finishReason, usage } = object(object(chunk, "messageMetadata"), "tailrace");
        return { type: "finish", finishReason: finishReason ?? null, usage: usage ?? null };
      }
      default: {
        const fields = ["id", "toolCallId", "sourceId"].filter((field) => field in chunk);
        return { ...chunk, ...Object.fromEntries(fields.map((field) => [field, name(chunk[field])])) };
      }
    }
  };
  const own = ["data-streamProgress", "data-agentRegistry"];
  return chunks.filter(({ type }) => !own.includes(type)).map(same);
}

for (const scenario of scenarios) {
  const why = DIFFERENT[scenario];
  test(`${scenario}: ${why === undefined ? "the same as /api/chat" : `not as /api/chat: ${why}`}`, () => {
    const ours = comparable(translate(events(agentBytes(scenario))));
    const theirs = comparable(events(bytes(scenario, "ui")!));
    if (why === undefined) assert.deepEqual(ours, theirs);
    else assert.notDeepEqual(ours, theirs);
  });

  test(`${scenario}: what holds of every stream (R64, R71, R77, R78, R79)`, () => {
    const stream = events(agentBytes(scenario));
    const chunks = translate(stream);
    const types = chunks.map((chunk) => chunk.type);

    assert.equal(types[0], "start");
    assert.equal(types[1], "data-conversationId", "before any text");
    assert.equal(ofType(chunks, "data-conversationId").length, 1);

    const positions = ofType(chunks, "data-streamProgress");
    assert.deepEqual(
      positions.map((chunk) => chunk.data.sequenceNumber),
      stream.map((event) => event["sequence_number"]),
      "one for each event",
    );
    assert.deepEqual(positions.map((chunk) => chunk.data.terminal).indexOf(true), positions.length - 1);
    assert.ok(positions.every((chunk) => chunk.transient && /^resp_/.test(chunk.data.responseId)));

    const calls = stream.filter((event) => /_arguments.done$|custom_tool_call_input.done$/.test(`${event["type"]}`));
    const asked = stream.filter((event) => /"type":"response.output_item.done".*mcp_approval_request/.test(JSON.stringify(event)));
    assert.equal(ofType(chunks, "data-toolCall").length, calls.length + asked.length, "one for each call");
    assertWellFormed(chunks);
  });

  test(`${scenario}: texts are unchanged and in order (R65)`, () => {
    const stream = events(agentBytes(scenario));
    const said = /^response\.(output_text|refusal|reasoning_text|reasoning_summary_text)\.delta$/;
    const expected = stream.filter(({ type }) => said.test(`${type}`)).map(({ delta }) => delta);
    const deltas = translate(stream).flatMap((chunk) => ("delta" in chunk ? [chunk.delta] : []));
    assert.deepEqual(deltas, expected.filter((text) => text !== ""));
  });
}

/** Parts begin, go on and end; steps do not overlap; a subagent that began has ended. */
function assertWellFormed(chunks: UiChunk[]): void {
  const open = new Set<string>();
  let [inStep, below] = [false, false];
  for (const chunk of chunks) {
    if (chunk.type === "text-start" || chunk.type === "reasoning-start") {
      assert.ok(inStep && !open.has(chunk.id));
      open.add(chunk.id);
    } else if (chunk.type === "text-delta" || chunk.type === "reasoning-delta") assert.ok(open.has(chunk.id));
    else if (chunk.type === "text-end" || chunk.type === "reasoning-end") assert.ok(open.delete(chunk.id));
    else if (chunk.type === "start-step" || chunk.type === "finish-step") {
      assert.equal(inStep, chunk.type === "finish-step");
      assert.equal(open.size, 0);
      inStep = chunk.type === "start-step";
    } else if (chunk.type === "data-subagent") below = true;
    else if (chunk.type === "data-subagent-end") {
      assert.ok(below);
      assert.equal(chunk.data, null);
      below = false;
    }
  }
  assert.ok(!inStep && !below && open.size === 0);
}
