// Node's own fetch against /api/stream, read by the loop of the guide that these sessions come from.

import { Readable } from "node:stream";
import * as r from "./reporting.mjs";

const URL = `${r.BASE}/api/stream`;

const post = (body) =>
  fetch(URL, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

/** All events of a reply, and the session to go on in. */
async function collect(response) {
  const nextSessionId = response.headers.get("X-Session-Id");
  const events = [];
  const readable = Readable.fromWeb(response.body);
  let buffer = "";
  for await (const chunk of readable) {
    buffer += chunk.toString();
    const lines = buffer.split("\n");
    buffer = lines.pop() ?? "";
    for (const line of lines) {
      if (line.trim()) events.push(JSON.parse(line));
    }
  }
  return { events, nextSessionId };
}

const ask = async (message, agentId = "helper", more = {}) =>
  collect(await post({ message, agentId, ...more }));
const textOf = (events) => events.map((event) => event.delta ?? "").join("");
const squeezed = (text) => text.replaceAll(/\s+/g, " ").trim();
const lastReply = (events) =>
  events.filter((e) => e.type === "message.end" && e.message.role === "assistant").at(-1).message;

async function ranThere(asked, tool, wanted, answer) {
  const { events } = await ask(asked);
  r.same(squeezed(textOf(events)), wanted);
  const before = events.find((event) => event.type === "tool.before");
  const after = events.find((event) => event.type === "tool.after");
  r.same([before.toolName, after.toolCallId], [tool, before.toolCallId]);
  r.ok(JSON.stringify(after.result).includes(answer), JSON.stringify(after));
}

async function failed(asked, wanted) {
  const { events } = await ask(asked);
  r.same(textOf(events), wanted);
  r.same(events.at(-1).type, "error");
  r.ok(events.at(-1).error.message.includes("The model"), JSON.stringify(events.at(-1)));
}

await r.main(process.versions.node, {
  /** Sessions ask; jobs are where it is answered. */
  async approval() {
    const response = await post({ message: "Where is my hat?", agentId: "clerk" });
    const id = response.headers.get("X-Run-Id");
    const whole = collect(response);
    let asked;
    while (!asked) asked = (await r.job(id)).waiting_for?.[0];
    const body = JSON.stringify({ item: asked.item, approved: true });
    r.same((await fetch(`${r.BASE}/jobs/${id}/input`, { method: "POST", body })).status, 202);
    const { events } = await whole;
    r.ok(events.some((event) => event.type === "permission_request"), "nothing was asked");
    r.ok(textOf(events).endsWith("Found a hat."), textOf(events));
  },
  async text() {
    const { events, nextSessionId } = await ask("One two three", "echo");
    r.same(textOf(events), "One two three");
    r.ok(nextSessionId, "no session");
    r.same([events[0].type, events.at(-2).type, events.at(-1).type], ["session.start", "session.end", "context_usage"]);
    r.ok(events.at(-2).usage.totalTokens > 0, "no usage");
  },
  async reasoning() {
    const { events } = await ask("think");
    const pieces = events.filter((event) => event.event?.type === "thinking_delta");
    r.same(pieces.map(({ event }) => event.delta).join(""), "Adding up. ");
    r.same(textOf(events), "It is 4.");
  },
  server_tool: () => ranThere("Where is my hat?", "find", "Let me look. Found a hat.", "found"),
  mcp_tool: () => ranThere("Read my notes", "echo", "Milk, it says.", "milk"),
  async subagents() {
    const { events } = await ask("let two look");
    r.same(squeezed(textOf(events)), "I let two look. Both are back.");
    const count = (type) => events.filter((event) => event.type === type).length;
    r.same([count("orchestration_run_start"), count("orchestration_run_complete")], [1, 1]);
    for (const type of ["spawned", "job_started", "job_completed", "closed"]) {
      r.same(count(`subagent_${type}`), 2);
    }
  },
  async refusal() {
    r.same(textOf((await ask("refuse")).events), "No, thank you.");
  },
  async failure_before() {
    await failed("fail before", "");
    const unknown = await post({ message: "x", agentId: "nobody" });
    r.same(unknown.status, 404);
    r.ok((await unknown.json()).error.includes("nobody"), "the error does not say what");
  },
  failure_during: () => failed("fail during", "Half of it"),
  failure_after: () => failed("fail after", "All of it."),
  async incomplete() {
    r.same(lastReply((await ask("too long")).events).stopReason, "length");
  },
  async cancel() {
    const response = await post({ message: r.SLOW, agentId: "slow" });
    const id = response.headers.get("X-Run-Id"); // sessions have no cancel of their own: jobs have
    const method = "POST";
    r.same((await fetch(`${r.BASE}/jobs/${id}/cancel`, { method })).status, 200);
    const { events } = await collect(response);
    r.same(events.at(-2).type, "session.end");
    r.ok(textOf(events).length < r.SLOW.length, "all was said");
    await r.untilCancelled(id);
  },
  async resume() {
    const sessionId = `compat-${process.pid}-resume`;
    const message = "one two three four five six seven eight";
    const response = await post({ message, agentId: "slow", sessionId });
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let seen = "";
    while (!seen.includes("text_delta")) seen += decoder.decode((await reader.read()).value);
    await reader.cancel();
    const lines = seen.split("\n").slice(0, -1).map((line) => JSON.parse(line));
    const rest = await collect(await fetch(`${URL}/${sessionId}?after=${lines.length - 1}`));
    r.same(textOf(lines) + textOf(rest.events), message);
    const whole = await collect(await fetch(`${URL}/${sessionId}`));
    r.same([...lines, ...rest.events], whole.events);
  },
  async chain() {
    const { nextSessionId } = await ask("My colour is blue.", "witness");
    const { events } = await ask("And now?", "witness", { sessionId: nextSessionId });
    r.same(textOf(events), "My colour is blue. | And now? (0 pictures)");
  },
  async image() {
    const attachments = [{ name: "a.png", mimeType: "image/png", base64: r.PICTURE }];
    const { events } = await ask("What is this?", "witness", { attachments });
    r.same(textOf(events), "What is this? (1 pictures)");
  },
  async unicode() {
    r.same(textOf((await ask(r.UNICODE, "echo")).events), r.UNICODE);
  },
  async long() {
    r.same(textOf((await ask(r.LONG, "echo")).events), r.LONG);
  },
});
