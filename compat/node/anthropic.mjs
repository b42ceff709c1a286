// @anthropic-ai/sdk over Messages; its beta client where blocks of server-run tools are its own.

import Anthropic from "@anthropic-ai/sdk";
import * as r from "./reporting.mjs";

const TOOL = { name: "get_weather", description: "Weather", input_schema: r.PARAMETERS };

const client = () => new Anthropic({ baseURL: r.BASE, apiKey: "unused", maxRetries: 0 });
const body = (asked, model = "helper", more = {}) => ({
  model,
  max_tokens: 9000,
  messages: typeof asked === "string" ? [{ role: "user", content: asked }] : asked,
  ...more,
});
const ask = (...asked) => client().messages.create(body(...asked));
const textOf = ({ content }) =>
  content.map((block) => (block.type === "text" ? block.text : "")).join("");
const squeezed = (text) => text.replaceAll(/\s+/g, " ").trim();

/** The text as it streamed, and the final message, which must say the same. */
async function stream(...asked) {
  const seen = [];
  const running = client().messages.stream(body(...asked)).on("text", (piece) => seen.push(piece));
  const final = await running.finalMessage();
  r.same(seen.join(""), textOf(final));
  return [seen.join(""), final];
}

async function ranThere(asked, name, server, wanted, answer) {
  const [got, final] = await stream(asked);
  r.same([squeezed(got), final.stop_reason], [wanted, "end_turn"]);
  const { content } = await client().beta.messages.create(body(asked));
  const call = content.find((block) => block.type === "mcp_tool_use");
  r.same([call.name, call.server_name], [name, server]);
  const result = content.find((block) => block.type === "mcp_tool_result");
  r.same([result.tool_use_id, result.is_error], [call.id, false]);
  r.ok(result.content[0].text.includes(answer), JSON.stringify(result));
}

async function failed(asked, status, wanted) {
  const seen = [];
  const running = client().messages.stream(body(asked)).on("text", (piece) => seen.push(piece));
  await r.rejects(() => running.finalMessage(), "The model");
  r.same(seen.join(""), wanted);
  r.same((await r.rejects(() => ask(asked), "The model")).status, status);
}

await r.main(r.versionOf("@anthropic-ai/sdk"), {
  async retry() {
    const { base, words, check } = await r.broken();
    const again = new Anthropic({ baseURL: base, apiKey: "unused", maxRetries: 1 });
    r.same(textOf(await again.messages.create(body(words, "echo"))), words);
    check();
  },
  async approval() {
    const messages = [{ role: "user", content: "Where is my hat?" }];
    for (const words of [false, true]) {
      const [, { content, stop_reason }] = await stream(messages, "clerk");
      const call = content.find((block) => block.type === "tool_use");
      r.same([stop_reason, call.name, call.input.arguments], ["tool_use", "ask_user", { what: "hat" }]);
      const result = { type: "tool_result", tool_use_id: call.id, content: '{"approved": true}' };
      const answer = { role: "user", content: words ? "yes" : [result] };
      const [got] = await stream([...messages, { role: "assistant", content: [call] }, answer], "clerk");
      r.same(got, "Found a hat.");
    }
  },
  async text() {
    const [got, final] = await stream("One two three", "echo");
    r.same([got, final.stop_reason], ["One two three", "end_turn"]);
    r.same(final.usage.output_tokens, 3);
    r.same(textOf(await ask("One two three", "echo")), got);
  },
  async reasoning() {
    const [got, final] = await stream("think");
    r.same([final.content[0].thinking, got], ["Adding up. ", "It is 4."]);
  },
  async client_tools() {
    const messages = [{ role: "user", content: "both cities" }];
    const [, first] = await stream(messages, "helper", { tools: [TOOL] });
    const calls = first.content.filter((block) => block.type === "tool_use");
    r.same([first.stop_reason, calls.map((call) => call.input)], ["tool_use", r.CITIES]);
    messages.push({ role: "assistant", content: first.content });
    const content = calls.map(({ id }) => ({
      type: "tool_result",
      tool_use_id: id,
      content: "fine",
    }));
    messages.push({ role: "user", content });
    r.same((await stream(messages, "helper", { tools: [TOOL] }))[0], "Snow and sun.");
  },
  server_tool: () =>
    ranThere("Where is my hat?", "find", "helper", "Let me look. Found a hat.", '"found":"hat"'),
  mcp_tool: () => ranThere("Read my notes", "echo", "notes", "Milk, it says.", "milk"),
  async subagents() {
    r.same(squeezed((await stream("let two look"))[0]), "I let two look. Both are back.");
    const asked = { body: body("let two look", "any") };
    const { content } = await client().post("/agent/7/messages", asked);
    const texts = content.filter((block) => block.type === "text").map(({ text }) => squeezed(text));
    const wanted = ["Both are back.", "I let two look.", "Nothing there.", "Nothing there."];
    r.same(texts.sort(), wanted);
  },
  async refusal() {
    r.same((await stream("refuse"))[0], "No, thank you.");
  },
  async failure_before() {
    await failed("fail before", 400, "");
    r.same((await r.rejects(() => ask("x", "nobody"))).status, 404);
  },
  failure_during: () => failed("fail during", 500, "Half of it"),
  failure_after: () => failed("fail after", 500, "All of it."),
  async incomplete() {
    r.same((await stream("too long"))[1].stop_reason, "max_tokens");
  },
  async cancel() {
    let id;
    for await (const event of await ask(r.SLOW, "slow", { stream: true })) {
      id = event.message.id;
      break;
    }
    await r.untilCancelled(id);
  },
  async chain() {
    const past = [
      { role: "user", content: "My colour is blue." },
      { role: "assistant", content: "Ah." },
    ];
    const reply = await ask([...past, { role: "user", content: "And now?" }], "witness");
    r.same(textOf(reply), "My colour is blue. | And now? (0 pictures)");
  },
  async structured() {
    const output_config = { format: { type: "json_schema", schema: r.ANSWER_SCHEMA } };
    r.same(JSON.parse((await stream("as json", "helper", { output_config }))[0]), r.ANSWER);
  },
  async image() {
    const source = { type: "base64", media_type: "image/png", data: r.PICTURE };
    const content = [
      { type: "text", text: "What is this?" },
      { type: "image", source },
    ];
    const reply = await ask([{ role: "user", content }], "witness");
    r.same(textOf(reply), "What is this? (1 pictures)");
  },
  async unicode() {
    r.same((await stream(r.UNICODE, "echo"))[0], r.UNICODE);
    r.same(textOf(await ask(r.UNICODE, "echo")), r.UNICODE);
  },
  async long() {
    r.same((await stream(r.LONG, "echo"))[0], r.LONG);
  },
});
