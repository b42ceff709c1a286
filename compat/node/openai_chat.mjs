// openai-node over Chat Completions.

import OpenAI from "openai";
import * as r from "./reporting.mjs";

const TOOL = { type: "function", function: { name: "get_weather", parameters: r.PARAMETERS } };

const client = (mount = "/v1") =>
  new OpenAI({ baseURL: r.BASE + mount, apiKey: "unused", maxRetries: 0 });
const user = (content) => ({ role: "user", content });
const ask = (text, model = "helper", more = {}, mount = "/v1") =>
  client(mount).chat.completions.create({ model, messages: [user(text)], ...more });

/** A stream's text, its choices and its chunks. */
async function read(asked) {
  const chunks = await r.all(await asked);
  const choices = chunks.flatMap((chunk) => chunk.choices.slice(0, 1));
  return [choices.map((choice) => choice.delta.content ?? "").join(""), choices, chunks];
}

async function noCalls(asked, wanted) {
  const [got, choices] = await read(ask(asked, "helper", { stream: true }));
  r.same([got, choices.at(-1).finish_reason], [wanted, "stop"]);
  r.ok(!choices.some((choice) => choice.delta.tool_calls), "the client saw calls");
}

async function failed(asked, status, wanted) {
  const seen = [];
  const read = async () => r.all(await ask(asked, "helper", { stream: true }), seen);
  await r.rejects(read, "The model");
  r.same(seen.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), wanted);
  const error = await r.rejects(() => ask(asked), "The model");
  r.same(error.status, status);
}

await r.main(r.versionOf("openai"), {
  async retry() {
    const { base, words, check } = await r.broken();
    const again = new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused", maxRetries: 1 });
    const asked = { model: "echo", messages: [user(words)] };
    r.same((await again.chat.completions.create(asked)).choices[0].message.content, words);
    check();
  },
  async approval() {
    const messages = [user("Where is my hat?")];
    const send = (all) => client().chat.completions.stream({ model: "clerk", messages: all }).finalMessage();
    for (const answer of [null, user("yes")]) {
      const asked = await send(messages);
      const [call] = asked.tool_calls;
      r.same([call.function.name, JSON.parse(call.function.arguments).arguments], ["ask_user", { what: "hat" }]);
      const output = { role: "tool", tool_call_id: call.id, content: '{"approved": true}' };
      r.same((await send([...messages, asked, answer ?? output])).content, "Found a hat.");
    }
  },
  async text() {
    const more = { stream: true, stream_options: { include_usage: true } };
    const [got, choices, chunks] = await read(ask("One two three", "echo", more));
    r.same([got, choices.at(-1).finish_reason], ["One two three", "stop"]);
    r.same(chunks.at(-1).usage.completion_tokens, 3);
    r.same((await ask("One two three", "echo")).choices[0].message.content, got);
  },
  async reasoning() {
    const [got, choices] = await read(ask("think", "helper", { stream: true }));
    const thought = choices.map((choice) => choice.delta.reasoning_content ?? "").join("");
    r.same([thought, got], ["Adding up. ", "It is 4."]);
  },
  async client_tools() {
    const messages = [user("both cities")];
    const asked = { model: "helper", messages, tools: [TOOL] };
    const first = await client().chat.completions.stream(asked).finalMessage();
    r.same(first.tool_calls.map((call) => JSON.parse(call.function.arguments)), r.CITIES);
    messages.push(first);
    for (const call of first.tool_calls) {
      messages.push({ role: "tool", tool_call_id: call.id, content: "fine" });
    }
    const second = await client().chat.completions.create(asked);
    r.same(second.choices[0].message.content, "Snow and sun.");
  },
  server_tool: () => noCalls("Where is my hat?", "Let me look. \n\nFound a hat."),
  mcp_tool: () => noCalls("Read my notes", "Milk, it says."),
  async subagents() {
    const main = await read(ask("let two look", "helper", { stream: true }));
    r.same(main[0], "I let two look. \n\nBoth are back.");
    const said = {};
    for await (const chunk of await ask("let two look", "any", { stream: true }, "/agent/7")) {
      const name = chunk.x_alien.agent_id;
      said[name] = (said[name] ?? "") + (chunk.choices[0]?.delta.content ?? "");
    }
    for (const name of ["researcher", "researcher#2"]) {
      r.same(said[name].trim().split(/\s+/), ["Nothing", "there."]); // agents take turns
    }
  },
  async refusal() {
    const asked = { model: "helper", messages: [user("refuse")] };
    const message = await client().chat.completions.stream(asked).finalMessage();
    r.same(message.refusal, "No, thank you.");
  },
  async failure_before() {
    await failed("fail before", 400, "");
    r.same((await r.rejects(() => ask("x", "nobody"))).status, 404);
  },
  failure_during: () => failed("fail during", 500, "Half of it"),
  failure_after: () => failed("fail after", 500, "All of it."),
  async incomplete() {
    const [, choices] = await read(ask("too long", "helper", { stream: true }));
    r.same(choices.at(-1).finish_reason, "length");
  },
  async cancel() {
    let id;
    for await (const chunk of await ask(r.SLOW, "slow", { stream: true })) {
      id = chunk.id;
      break;
    }
    await r.untilCancelled(id);
  },
  async chain() {
    const past = [user("My colour is blue."), { role: "assistant", content: "Ah." }];
    const messages = [...past, user("And now?")];
    const reply = await client().chat.completions.create({ model: "witness", messages });
    r.same(reply.choices[0].message.content, "My colour is blue. | And now? (0 pictures)");
  },
  async structured() {
    const json_schema = { name: "answer", schema: r.ANSWER_SCHEMA, strict: true };
    const response_format = { type: "json_schema", json_schema };
    const messages = [user("as json")];
    const asked = { model: "helper", messages, response_format };
    const reply = await client().chat.completions.parse(asked);
    r.same(JSON.parse(reply.choices[0].message.content), r.ANSWER);
  },
  async image() {
    const url = `data:image/png;base64,${r.PICTURE}`;
    const content = [
      { type: "text", text: "What is this?" },
      { type: "image_url", image_url: { url } },
    ];
    const messages = [{ role: "user", content }];
    const reply = await client().chat.completions.create({ model: "witness", messages });
    r.same(reply.choices[0].message.content, "What is this? (1 pictures)");
  },
  async unicode() {
    r.same((await read(ask(r.UNICODE, "echo", { stream: true })))[0], r.UNICODE);
    r.same((await ask(r.UNICODE, "echo")).choices[0].message.content, r.UNICODE);
  },
  async long() {
    r.same((await read(ask(r.LONG, "echo", { stream: true })))[0], r.LONG);
  },
});
