// @ag-ui/client's HttpAgent, which verifies every event's order, against /agui/{agent}.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";

import { HttpAgent, verifyEvents } from "@ag-ui/client";
import { from, lastValueFrom, toArray } from "rxjs";
import * as r from "./reporting.mjs";

const TOOLS = [{ name: "get_weather", description: "Weather", parameters: r.PARAMETERS }];
const url = (agent) => `${r.BASE}/agui/${agent}`;

let names = 0;

/** An agent in a thread of its own, and all events it tells. */
function begin(agent = "helper", threadId = `compat-${process.pid}-${++names}`) {
  const events = [];
  const client = new HttpAgent({ url: url(agent), threadId });
  client.subscribe({ onEvent: ({ event }) => void events.push(event) });
  return { client, events };
}

const user = (content) => ({ id: `m${++names}`, role: "user", content });

/** A message sent; what was told until the run's end, checked once more as a whole. */
async function ask(content, agent, { begun = begin(agent), ...more } = {}) {
  begun.client.addMessage(user(content));
  begun.events.length = 0;
  await begun.client.runAgent({ runId: `r${process.pid}-${++names}`, ...more });
  await lastValueFrom(from(begun.events).pipe(verifyEvents(), toArray()));
  r.ok(["RUN_FINISHED", "RUN_ERROR"].includes(begun.events.at(-1).type), "no end");
  return begun;
}

const main = (events) => events.filter((event) => !event.subagentRunId);
const textOf = (events) =>
  events.map((e) => (e.type === "TEXT_MESSAGE_CONTENT" ? e.delta : "")).join("");
const lastMessage = ({ messages }) => messages.filter(({ role }) => role === "assistant").at(-1);
const squeezed = (text) => text.replaceAll(/\s+/g, " ").trim();

async function said(content, agent, wanted) {
  const { client, events } = await ask(content, agent);
  r.same(textOf(events), wanted);
  r.same(lastMessage(client).content, wanted);
  return events;
}

async function ranThere(content, tool, wanted, answer) {
  const { client, events } = await ask(content);
  r.same(squeezed(textOf(events)), wanted);
  const start = events.find((event) => event.type === "TOOL_CALL_START");
  const result = events.find((event) => event.type === "TOOL_CALL_RESULT");
  r.same([start.toolCallName, result.toolCallId], [tool, start.toolCallId]);
  r.ok(result.content.includes(answer), result.content);
  r.ok(client.messages.some((message) => message.role === "tool"), "no tool message");
}

async function failed(content, wanted) {
  const { events } = await ask(content);
  r.same(textOf(events), wanted);
  r.same(events.at(-1).type, "RUN_ERROR");
  r.ok(events.at(-1).message.includes("The model"), events.at(-1).message);
}

/** A run whose server was killed in the middle of its answer, and whose model then gave another one: as the
 * transcript of that case says, read by the client from a server of its own. */
async function afterACrash() {
  const told = readFileSync("../../tests/transcripts/two_attempts_apart/agui.sse");
  const server = createServer((_, reply) => {
    reply.writeHead(200, { "content-type": "text/event-stream" }).end(told);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const client = new HttpAgent({ url: `http://127.0.0.1:${server.address().port}/` });
  client.addMessage(user("What is two and two?"));
  await client.runAgent();
  server.close();
  const lasting = client.messages.filter(({ role }) => role !== "activity");
  r.same(lasting.map(({ content }) => content), ["What is two and two?", "Four."]);
}

await r.main(r.versionOf("@ag-ui/client"), {
  async approval() {
    const begun = await ask("Where is my hat?", "clerk");
    const [{ id }] = begun.events.at(-1).outcome.interrupts;
    begun.events.length = 0;
    const resume = [{ interruptId: id, status: "resolved", payload: { approved: true } }];
    await begun.client.runAgent({ runId: `r${process.pid}-${++names}`, resume });
    r.same(textOf(begun.events), "Found a hat.");
    const other = await ask("Where is my hat?", "clerk");
    const interruptId = other.events.at(-1).outcome.interrupts[0].id;
    other.events.length = 0;
    other.client.addMessage({ id: `u${process.pid}`, role: "user", content: "think" });
    const yes = [{ interruptId, status: "resolved", payload: { approved: true } }];
    await other.client.runAgent({ runId: `r${process.pid}-${++names}`, resume: yes });
    r.same(textOf(other.events), "It is 4.");
    r.ok(other.events.some((event) => event.type === "TOOL_CALL_RESULT"), "the call did not run");
  },
  async text() {
    const events = await said("One two three", "echo", "One two three");
    r.same([events[0].type, events.at(-1).type], ["RUN_STARTED", "RUN_FINISHED"]);
  },
  async reasoning() {
    const events = await said("think", "helper", "It is 4.");
    const thought = events.filter((event) => event.type === "REASONING_MESSAGE_CONTENT");
    r.same(thought.map((event) => event.delta).join(""), "Adding up. ");
  },
  async client_tools() {
    const begun = await ask("both cities", "helper", { tools: TOOLS });
    const { toolCalls } = begun.client.messages.at(-1);
    r.same(toolCalls.map((call) => JSON.parse(call.function.arguments)), r.CITIES);
    r.ok(!begun.events.some((event) => event.type === "TOOL_CALL_RESULT"), "a result of ours");
    for (const { id } of toolCalls) {
      begun.client.addMessage({ id: `t${id}`, role: "tool", toolCallId: id, content: "fine" });
    }
    begun.events.length = 0;
    await begun.client.runAgent({ runId: `r${process.pid}-${++names}`, tools: TOOLS });
    r.same(textOf(begun.events), "Snow and sun.");
  },
  server_tool: () =>
    ranThere("Where is my hat?", "find", "Let me look. Found a hat.", "found"),
  mcp_tool: () => ranThere("Read my notes", "echo", "Milk, it says.", "milk"),
  async subagents() {
    const { events } = await ask("let two look");
    r.same(squeezed(textOf(main(events))), "I let two look. Both are back.");
    const started = events.filter((event) => event.type === "SUBAGENT_STARTED");
    r.same(started.map((event) => event.name), ["researcher", "researcher"]);
    for (const { subagentRunId } of started) {
      const its = events.filter((event) => event.subagentRunId === subagentRunId);
      r.same([textOf(its), its.at(-1).type], ["Nothing there.", "SUBAGENT_FINISHED"]);
    }
  },
  refusal: () => said("refuse", "helper", "No, thank you."),
  async failure_before() {
    await failed("fail before", "");
    await r.rejects(() => ask("x", "nobody"), "404");
  },
  failure_during: () => failed("fail during", "Half of it"),
  failure_after: () => failed("fail after", "All of it."),
  async incomplete() {
    const events = await said("too long", "helper", "And so on");
    r.ok(JSON.stringify(events.at(-1)).includes("max_output_tokens"), JSON.stringify(events.at(-1)));
  },
  async cancel() {
    const { client, events } = begin("slow");
    client.addMessage(user(r.SLOW));
    const runId = `r${process.pid}-${++names}`;
    let stopped;
    client.subscribe({
      onTextMessageContentEvent: () => {
        const body = JSON.stringify({ threadId: client.threadId, runId });
        stopped ??= fetch(`${url("slow")}/cancel`, { method: "POST", body });
      },
    });
    await client.runAgent({ runId });
    r.same((await stopped).status, 200);
    r.ok(textOf(events).length < r.SLOW.length, "all was said");
    const { type, outcome } = events.at(-1);
    r.same([type, outcome?.type], ["RUN_FINISHED", "cancelled"]);
  },
  async resume() {
    const { client, events } = begin("slow");
    const words = "one two three four five six seven eight";
    const message = user(words);
    client.addMessage(message);
    const runId = `r${process.pid}-${++names}`;
    const dropped = client.runAgent({ runId }, { onTextMessageContentEvent: () => client.abortRun() });
    await dropped.catch(() => {});
    r.ok(textOf(events).length < words.length, "nothing was dropped");
    const again = begin("slow", client.threadId);
    again.client.addMessage(message);
    await again.client.runAgent({ runId });
    r.same(textOf(again.events), words);
    await afterACrash();
  },
  async chain() {
    const begun = await ask("My colour is blue.", "witness");
    await ask("And now?", "witness", { begun });
    r.same(textOf(begun.events), "My colour is blue. | And now? (0 pictures)");
  },
  async image() {
    const source = { type: "data", value: r.PICTURE, mimeType: "image/png" };
    const content = [
      { type: "text", text: "What is this?" },
      { type: "image", source },
    ];
    r.same(textOf((await ask(content, "witness")).events), "What is this? (1 pictures)");
  },
  unicode: () => said(r.UNICODE, "echo", r.UNICODE),
  long: () => said(r.LONG, "echo", r.LONG),
});
