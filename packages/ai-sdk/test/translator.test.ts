/** Whose, from where, how it ends, and what is no stream at all. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { findAgent, itemPlace, parseRegistry, Translator, type JsonObject } from "../src/index.ts";
import { agentBytes, events, ofType, scenarios, translate } from "./golden.ts";

const created = (metadata: JsonObject = {}, more: JsonObject = {}): JsonObject => ({
  type: "response.created",
  sequence_number: 0,
  response: { id: "resp_1", metadata, ...more },
});
const AGENTS = [
  { id: "MAIN", kind: "main", name: "lead", parent_id: null },
  { id: "7", kind: "subagent", name: "Researcher", parent_id: "MAIN" },
];

test("the registry is read from inside its string (R74, R93)", () => {
  const response = {
    metadata: { x_alien_root_agent_id: "MAIN", x_alien_agent_registry: JSON.stringify(AGENTS) },
  };
  const registry = parseRegistry(response)!;
  assert.equal(registry.root, "MAIN");
  assert.equal(registry.truncated, false);
  assert.deepEqual(
    registry.entries.map((entry) => [entry.id, entry.kind, entry.name, entry.parentId]),
    [
      ["MAIN", "main", "lead", null],
      ["7", "subagent", "Researcher", "MAIN"],
    ],
  );
  assert.equal(findAgent(registry, "7#2").name, "Researcher");
  assert.equal(findAgent(registry, "7#2").id, "7#2");
  assert.deepEqual(findAgent(registry, "left out").parentId, "MAIN");
});

test("its keys may have another name, and it may be cut, missing or no registry", () => {
  const metadata = { acme_agent_registry: JSON.stringify(AGENTS), acme_registry_truncated: "true" };
  assert.equal(parseRegistry({ metadata }), undefined);
  assert.equal(parseRegistry({ metadata }, "acme")?.truncated, true);
  for (const told of ["", "{}", "[", "null", "[1, {}, null]"]) {
    const found = parseRegistry({ metadata: { x_alien_agent_registry: told } });
    assert.deepEqual(found?.entries ?? [], []);
  }
});

test("an item's id says whose it is (R94)", () => {
  assert.deepEqual(itemPlace("agent:MAIN::msg_0"), { agent: "MAIN", kind: "msg", number: 0 });
  assert.deepEqual(itemPlace("agent:a#2::fc_17"), { agent: "a#2", kind: "fc", number: 17 });
  assert.equal(itemPlace("agent:a::b::mcp_3")?.agent, "a::b");
  for (const id of ["msg_1", "agent:a", "agent:a::msg", ""]) assert.equal(itemPlace(id), undefined);
});

test("a subagent's panel opens and closes by two chunks, with what the registry says of it (R73, R75, R76, R95)", () => {
  const chunks = translate(events(agentBytes("team")));
  const opened = ofType(chunks, "data-subagent").map((chunk) => chunk.data);
  assert.deepEqual(opened[0], {
    id: "researcher",
    agentId: "researcher",
    name: "researcher",
    kind: "subagent",
    parentId: "MAIN",
    dispatchedByToolCallId: null,
  });
  assert.ok(opened.some(({ id }) => id === "researcher#2"));
  assert.equal(ofType(chunks, "data-subagent-end").length, 1);
  const types = chunks.map((chunk) => chunk.type);
  const after = chunks.slice(types.indexOf("data-subagent-end"));
  assert.equal(ofType(after, "text-delta").map((chunk) => chunk.delta).join(""), "Both found it.");
});

for (const scenario of scenarios) {
  test(`${scenario}: resumed anywhere, exactly the rest follows (R80, R90)`, () => {
    const stream = events(agentBytes(scenario));
    const whole = translate(stream);
    const last = stream.length - 1;
    for (let after = 0; after < last; after += 1) {
      const rest = translate(stream, { after });
      assert.equal(rest[0]?.type, "start");
      const begin = whole.findIndex((c) => c.type === "data-streamProgress" && c.data.sequenceNumber === after);
      const place = rest.findIndex((c) => c.type === "data-streamProgress");
      const before = rest.slice(0, place).map((chunk) => chunk.type);
      assert.deepEqual(rest.slice(place), whole.slice(begin));
      assert.ok(before.every((type) => /^(start|data-conversationId|data-agentRegistry)$/.test(type)));
    }
    assert.deepEqual(translate(stream, { after: last }).slice(-2), whole.slice(-2), "its end is always told");
  });

  test(`${scenario}: joined in the middle, all that is still said is shown`, () => {
    const stream = events(agentBytes(scenario));
    for (let from = 1; from < stream.length; from += 1) {
      const tail = stream.slice(from);
      const chunks = translate(tail, { responseId: "resp_1" });
      const open = new Set<string>();
      const calls = new Set<string>();
      for (const chunk of chunks) {
        if (/^(text|reasoning)-start$/.test(chunk.type)) open.add((chunk as { id: string }).id);
        if ("delta" in chunk) assert.ok(open.has(chunk.id));
        if (chunk.type === "tool-input-start") calls.add(chunk.toolCallId);
        else if ("toolCallId" in chunk) assert.ok(calls.has(chunk.toolCallId), chunk.type);
      }
      const said = tail.filter(({ type }) => type === "response.output_text.delta").map(({ delta }) => delta);
      const shown = ofType(chunks, "text-delta").map((chunk) => chunk.delta).join("");
      assert.ok(shown.includes(said.join("")) || said.every((text) => shown.includes(`${text}`)));
    }
  });

  test(`${scenario}: broken off anywhere, it ends in an error`, () => {
    const stream = events(agentBytes(scenario));
    for (let cut = 0; cut < stream.length; cut += 1) {
      const chunks = translate(stream.slice(0, cut));
      assert.equal(chunks.at(-1)?.type, "error");
    }
  });
}

test("an error event alone is told at the end, once", () => {
  const stream = [created(), { type: "error", sequence_number: 1, message: "Too many requests." }];
  assert.deepEqual(ofType(translate(stream), "error"), [{ type: "error", errorText: "Too many requests." }]);
  const nested = [created(), { type: "error", error: { message: "Inside." } }];
  assert.equal(ofType(translate(nested), "error")[0]?.errorText, "Inside.");
});

test("what follows the end is not shown", () => {
  const translator = new Translator();
  translator.take(created());
  translator.take({ type: "response.completed", sequence_number: 1, response: { id: "resp_1" } });
  assert.deepEqual(translator.take(created()), []);
  assert.deepEqual(translator.end(), []);
});

test("the conversation is what the application says, else what the response says", () => {
  const named = (options: object, more: JsonObject = {}) =>
    ofType(translate([created({}, more)], options), "data-conversationId")[0]?.data;
  assert.equal(named({}), "resp_1");
  assert.equal(named({}, { conversation: { id: "conv_1" } }), "conv_1");
  assert.equal(named({ conversationId: "mine" }, { conversation: { id: "conv_1" } }), "mine");
});

test("an approval is asked for in the form that the client knows", () => {
  const stream = events(agentBytes("approval_pending"));
  const [asked] = ofType(translate(stream, { approvals: true }), "tool-approval-request");
  assert.equal(asked?.approvalId, "agent:MAIN::mcpr_1");
  assert.equal(asked?.toolCallId, "agent:MAIN::mcp_1");
  assert.equal(ofType(translate(stream), "data-approval")[0]?.data.id, "agent:MAIN::mcpr_1");
});

test("a call that is asked about again is the same part, asked anew", () => {
  for (const [first, call] of [["mcpr_01k_1", "mcp_01k_1"], ["agent:a_1::mcpr_1", "agent:a_1::mcp_1"]]) {
    const request = (id: string, at: number) => ({
      type: "response.output_item.done",
      sequence_number: at,
      output_index: at,
      item: { type: "mcp_approval_request", id, name: "pay", arguments: "{}", server_label: "tailrace" },
    });
    const stream = [created(), request(first!, 1), request(`${first}_2`, 2)];
    const asked = ofType(translate(stream, { approvals: true }), "tool-approval-request");
    assert.deepEqual(asked.map((each) => each.approvalId), [first, `${first}_2`]);
    assert.deepEqual(asked.map((each) => each.toolCallId), [call, call]);
  }
});

test("items that came whole are shown whole", () => {
  const content = [
    { type: "output_text", text: "One." },
    { type: "output_text", text: "Two." },
  ];
  const item = { id: "agent:MAIN::msg_0", type: "message", status: "completed", content };
  const chunks = translate([created(), { type: "response.output_item.done", item }]);
  assert.deepEqual(ofType(chunks, "text-delta").map((chunk) => [chunk.id, chunk.delta]), [
    ["agent:MAIN::msg_0", "One."],
    ["agent:MAIN::msg_0_1", "Two."],
  ]);
});

test("a call that was given up ends; one that a pause cut in two does not", () => {
  const item = { id: "agent:MAIN::mcp_0", type: "mcp_call", name: "go", arguments: "{}", status: "incomplete" };
  const began = [created(), { type: "response.output_item.added", item }];
  const called = { type: "response.mcp_call_arguments.done", item_id: item.id, arguments: "{}" };
  const ended = { type: "response.output_item.done", item };
  const errors = (stream: JsonObject[]) => ofType(translate(stream), "tool-output-error").length;
  assert.equal(errors([...began, called, { type: "response.mcp_call.failed", item_id: item.id }, ended]), 1);
  assert.equal(errors([...began, called, ended]), 0);
  const cut = { ...item, arguments: '{"a' };
  const text = { type: "response.mcp_call_arguments.done", item_id: item.id, arguments: '{"a' };
  const chunks = translate([...began, text, { type: "response.output_item.done", item: cut }]);
  assert.equal(ofType(chunks, "tool-output-error").length, 1);
  assert.equal(ofType(chunks, "data-toolCall").length, 0);
});

test("citations become sources", () => {
  const item = { id: "agent:MAIN::msg_0", type: "message" };
  const annotation = { type: "url_citation", url: "http://a.example/", title: "A" };
  const cited = { type: "response.output_text.annotation.added", item_id: item.id, annotation };
  const [source] = ofType(translate([created(), { type: "response.output_item.added", item }, cited]), "source-url");
  assert.deepEqual([source?.url, source?.title], ["http://a.example/", "A"]);
});

test("rubbish is not thrown at", () => {
  const values = [null, 1, "", [], {}, [{}], { id: 1 }, { id: "x", type: "mcp_call", error: {} }];
  const types = new Set(scenarios.flatMap((name) => events(agentBytes(name)).map(({ type }) => `${type}`)));
  for (const type of types) {
    for (const value of values) {
      const translator = new Translator({ after: 0 });
      for (const field of ["item", "item_id", "delta", "response", "sequence_number", "arguments", "annotation"]) {
        translator.take({ type, [field]: value });
      }
      translator.take({ type, item: value, item_id: "x", delta: "y", response: value });
      translator.end();
    }
  }
});
