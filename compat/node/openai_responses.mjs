// openai-node over Responses.

import OpenAI from "openai";
import * as r from "./reporting.mjs";

const TOOL = { type: "function", name: "get_weather", parameters: r.PARAMETERS, strict: false };

const client = (mount = "/v1") =>
  new OpenAI({ baseURL: r.BASE + mount, apiKey: "unused", maxRetries: 0 });
const ask = (input, model = "helper", more = {}, mount = "/v1") =>
  client(mount).responses.create({ model, input, ...more });
const read = async (input, model = "helper", more = {}, mount = "/v1") =>
  r.all(await ask(input, model, { ...more, stream: true }, mount));
const words = (events) =>
  events.map((e) => (e.type === "response.output_text.delta" ? e.delta : "")).join("");

async function mcpCall(asked, label, wanted, answer) {
  const events = await read(asked);
  r.ok(events.some((e) => e.type === "response.mcp_call.completed"), "no mcp_call.completed");
  const { output } = events.at(-1).response;
  const call = output.find((item) => item.type === "mcp_call");
  r.same([call.server_label, words(events)], [label, wanted]);
  r.ok(call.output.includes(answer), call.output);
  r.ok(!output.some((item) => item.type === "function_call"), "the client saw a call");
}

/** The client raises the error event or passes it on; what came before it must be there. */
async function failed(asked, wanted) {
  const seen = [];
  try {
    await r.all(await ask(asked, "helper", { stream: true }), seen);
    r.same(seen.slice(-2).map((e) => e.type), ["error", "response.failed"]);
  } catch (error) {
    r.ok(String(error.message).includes("The model"), error.message);
  }
  r.same(words(seen), wanted);
  r.same((await ask(asked)).status, "failed");
}

await r.main(r.versionOf("openai"), {
  async retry() {
    const { base, words, check } = await r.broken();
    const again = new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused", maxRetries: 1 });
    r.same((await again.responses.create({ model: "echo", input: words })).output_text, words);
    check();
  },
  async approval() {
    const { id, output } = (await read("Where is my hat?", "clerk")).at(-1).response;
    const asked = output.find((item) => item.type === "mcp_approval_request");
    const yes = { type: "mcp_approval_response", approval_request_id: asked.id, approve: true };
    r.same(words(await read([yes], "clerk", { previous_response_id: id })), "Found a hat.");
  },
  async text() {
    const events = await read("One two three", "echo");
    r.same(events.map((e) => e.sequence_number), [...events.keys()]);
    r.same([events[0].type, events.at(-1).type], ["response.created", "response.completed"]);
    r.same([words(events), (await ask("One two three", "echo")).output_text], Array(2).fill("One two three"));
  },
  async reasoning() {
    const events = await read("think");
    const pieces = events.filter((e) => e.type === "response.reasoning_summary_text.delta");
    r.same([pieces.map((e) => e.delta).join(""), words(events)], ["Adding up. ", "It is 4."]);
  },
  async client_tools() {
    const asked = { model: "helper", input: "both cities", tools: [TOOL] };
    const first = await client().responses.stream(asked).finalResponse();
    const calls = first.output.filter((item) => item.type === "function_call");
    r.same(calls.map((call) => JSON.parse(call.arguments)), r.CITIES);
    const outputs = calls.map(({ call_id }) => ({
      type: "function_call_output",
      call_id,
      output: "fine",
    }));
    const more = { previous_response_id: first.id, tools: [TOOL] };
    r.same((await ask(outputs, "helper", more)).output_text, "Snow and sun.");
  },
  server_tool: () =>
    mcpCall("Where is my hat?", "helper", "Let me look. Found a hat.", '"found":"hat"'),
  mcp_tool: () => mcpCall("Read my notes", "notes", "Milk, it says.", "milk"),
  async subagents() {
    r.same(words(await read("let two look")), "I let two look. Both are back.");
    const events = await read("let two look", "any", {}, "/agent/7");
    const registry = JSON.parse(events[0].response.metadata.x_alien_agent_registry);
    r.ok(registry.some((agent) => agent.id === "MAIN"), "no registry");
    const said = {};
    for (const e of events.filter((e) => e.type === "response.output_text.delta")) {
      const name = e.item_id.split("::")[0].replace("agent:", "");
      said[name] = (said[name] ?? "") + e.delta;
    }
    const there = "Nothing there.";
    const main = "I let two look. Both are back.";
    r.same(said, { MAIN: main, researcher: there, "researcher#2": there });
  },
  async refusal() {
    const events = await read("refuse");
    const pieces = events.filter((e) => e.type === "response.refusal.delta");
    r.same(pieces.map((e) => e.delta).join(""), "No, thank you.");
  },
  async failure_before() {
    await failed("fail before", "");
    r.same((await r.rejects(() => ask("x", "nobody"))).status, 404);
  },
  failure_during: () => failed("fail during", "Half of it"),
  failure_after: () => failed("fail after", "All of it."),
  async incomplete() {
    const last = (await read("too long")).at(-1);
    r.same(
      [last.type, last.response.incomplete_details.reason],
      ["response.incomplete", "max_output_tokens"],
    );
  },
  async cancel() {
    const made = await ask(r.SLOW, "slow", { background: true });
    r.same((await client().responses.cancel(made.id)).status, "cancelled");
    await r.untilCancelled(made.id);
  },
  async resume() {
    const seen = [];
    for await (const event of await ask("one two three four five six", "slow", { stream: true })) {
      seen.push(event);
      if (event.type === "response.output_text.delta") break;
    }
    const last = seen.at(-1).sequence_number;
    const query = { stream: true, starting_after: last };
    const rest = await r.all(await client().responses.retrieve(seen[0].response.id, query));
    r.same(rest.map((e) => e.sequence_number), rest.map((_, place) => last + 1 + place));
    r.same(words(seen) + words(rest), "one two three four five six");
  },
  async chain() {
    const wanted = "My colour is blue. | And now? (0 pictures)";
    const first = await ask("My colour is blue.", "witness");
    const more = { previous_response_id: first.id };
    r.same((await ask("And now?", "witness", more)).output_text, wanted);
    r.same(words(await read("And now?", "witness", more)), wanted);
  },
  async structured() {
    const format = { type: "json_schema", name: "answer", schema: r.ANSWER_SCHEMA, strict: true };
    const asked = { model: "helper", input: "as json", text: { format } };
    r.same(JSON.parse((await client().responses.parse(asked)).output_text), r.ANSWER);
  },
  async image() {
    const content = [
      { type: "input_text", text: "What is this?" },
      { type: "input_image", image_url: `data:image/png;base64,${r.PICTURE}`, detail: "auto" },
    ];
    const reply = await ask([{ role: "user", content }], "witness");
    r.same(reply.output_text, "What is this? (1 pictures)");
  },
  async unicode() {
    r.same(words(await read(r.UNICODE, "echo")), r.UNICODE);
    r.same((await ask(r.UNICODE, "echo")).output_text, r.UNICODE);
  },
  async long() {
    r.same(words(await read(r.LONG, "echo")), r.LONG);
  },
});
