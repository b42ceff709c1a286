// The AI SDK's streamText, generateText and their likes, generations 5 to 7, through one of its providers.
// The argument names the provider: responses, chat, compatible or anthropic.

import * as ai from "ai";
import * as r from "./reporting.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const SDK = Number(r.versionOf("ai").split(".")[0]);
const TOOLS = { get_weather: ai.tool({ inputSchema: ai.jsonSchema(r.PARAMETERS) }) };
const MCP = { responses: "mcp.find", anthropic: "find" };

/** A model of the provider. */
async function model(name = "helper", mount = "/v1", at = r.BASE) {
  const baseURL = at + mount;
  if (r.API === "anthropic") {
    const { createAnthropic } = await import("@ai-sdk/anthropic");
    return createAnthropic({ baseURL, apiKey: "unused" })(name);
  }
  if (r.API === "compatible") {
    const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
    const more = { supportsStructuredOutputs: true, includeUsage: true };
    return createOpenAICompatible({ name: "tailrace", baseURL, apiKey: "unused", ...more })(name);
  }
  const { createOpenAI } = await import("@ai-sdk/openai");
  return createOpenAI({ baseURL, apiKey: "unused" })[r.API](name);
}

/** All of a streamed answer: its text, the parts of its full stream, and the result itself. */
async function read(prompt, name, more = {}, mount) {
  const asked = typeof prompt === "string" ? { prompt } : { messages: prompt };
  const result = ai.streamText({
    model: await model(name, mount),
    maxRetries: 0,
    onError: () => {},
    ...asked,
    ...more,
  });
  const parts = await r.all(result.fullStream);
  const text = parts.map((part) => (part.type === "text-delta" ? part.text : "")).join("");
  return { text, parts, result };
}

const generate = async (prompt, name, more = {}) =>
  ai.generateText({ model: await model(name), prompt, maxRetries: 0, ...more });

/** Two replies of one run are parted by a blank line on Chat. */
const squeezed = (text) => text.replaceAll(/\s+/g, " ");

/** A tool that ran on the server: a call and result of the provider's, or not shown, never ours to run. */
async function ranThere(prompt, tool, wanted, answer) {
  const { text, parts, result } = await read(prompt);
  r.same(squeezed(text), wanted);
  r.same(await result.finishReason, "stop");
  const calls = parts.filter((part) => part.type === "tool-call");
  const shown = ["responses", "anthropic"].includes(r.API) && SDK > 5;
  r.same(calls.map((call) => [call.toolName, call.providerExecuted]), shown ? [[tool, true]] : []);
  const results = parts.filter((part) => part.type === "tool-result");
  r.same(results.length, shown ? 1 : 0);
  if (shown) r.ok(JSON.stringify(results[0].output).includes(answer), JSON.stringify(results[0]));
  r.ok(!parts.some((part) => part.type === "error" || part.type === "tool-error"), "an error part");
}

/** What came before the error, which must be told in the stream. */
async function failed(prompt, wanted) {
  const { text, parts } = await read(prompt);
  r.same(text, wanted);
  const errors = parts.filter((part) => part.type === "error").map(({ error }) => error);
  const told = errors.map((error) => String(error?.message ?? JSON.stringify(error)));
  r.ok(told.some((message) => message.includes("The model")), `errors: ${told}`);
}

const scenarios = {
  /** The SDK says nothing of a retry; the key is what the request is known by. */
  async retry() {
    const { base, words, check } = await r.broken();
    const asked = { model: await model("echo", "/v1", base), prompt: words, maxRetries: 1 };
    r.same((await ai.generateText({ ...asked, headers: { "idempotency-key": base } })).text, words);
    check();
  },
  async approval() {
    const messages = [{ role: "user", content: "Where is my hat?" }];
    const { parts, result } = await read(messages, "clerk");
    const { approvalId } = parts.find((part) => part.type === "tool-approval-request");
    const { responseId } = (await result.providerMetadata).openai;
    messages.push(...(await result.response).messages);
    messages.push({ role: "tool", content: [{ type: "tool-approval-response", approvalId, approved: true, providerExecuted: true }] });
    const providerOptions = { openai: { previousResponseId: responseId } };
    r.same((await read(messages, "clerk", { providerOptions })).text, "Found a hat.");
  },
  async text() {
    const prompt = "One two three";
    const { text, parts, result } = await read(prompt, "echo", { includeRawChunks: true });
    r.same(text, prompt);
    const { textStream } = ai.streamText({ model: await model("echo"), prompt });
    r.same((await r.all(textStream)).join(""), prompt);
    r.same(await result.finishReason, "stop");
    r.same((await result.usage).outputTokens, 3);
    r.same((await generate(prompt, "echo")).text, prompt);
    if (r.API === "responses") await rawEvents(parts, result);
  },
  async reasoning() {
    const { parts, result } = await read("think");
    const thought = parts.map((part) => (part.type === "reasoning-delta" ? part.text : ""));
    r.same([thought.join(""), await result.text], ["Adding up. ", "It is 4."]);
  },
  async client_tools() {
    const messages = [{ role: "user", content: "both cities" }];
    const { result } = await read(messages, "helper", { tools: TOOLS });
    const calls = await result.toolCalls;
    r.same(calls.map((call) => call.input), r.CITIES);
    r.same(await result.finishReason, "tool-calls");
    messages.push(...(await result.response).messages);
    const content = calls.map(({ toolCallId, toolName }) => ({
      type: "tool-result",
      toolCallId,
      toolName,
      output: { type: "text", value: "fine" },
    }));
    messages.push({ role: "tool", content });
    r.same((await read(messages, "helper", { tools: TOOLS })).text, "Snow and sun.");
  },
  server_tool: () =>
    ranThere("Where is my hat?", MCP[r.API], "Let me look. Found a hat.", "found"),
  mcp_tool: () =>
    ranThere("Read my notes", MCP[r.API]?.replace("find", "echo"), "Milk, it says.", "milk"),
  async subagents() {
    const { parts, text } = await read("let two look", "any", {}, "/agent/7");
    r.same(text.match(/Nothing|there\./g).length, 4);
    r.ok(text.startsWith("I let two look.") && text.endsWith("Both are back."), text);
    r.ok(!parts.some((part) => part.type === "error"), "an error part");
    if (r.API !== "responses") return;
    const ids = parts.filter((part) => part.type === "text-start").map((part) => part.id);
    const agents = new Set(ids.map((id) => id.split("::")[0]));
    r.same([...agents].sort(), ["agent:MAIN", "agent:researcher", "agent:researcher#2"]);
  },
  async refusal() {
    r.same((await read("refuse")).text, "No, thank you.");
  },
  async failure_before() {
    await failed("fail before", "");
    await r.rejects(() => generate("fail before"), "The model is out.");
    r.same((await r.rejects(() => generate("x", "nobody"))).statusCode, 404);
  },
  failure_during: () => failed("fail during", "Half of it"),
  failure_after: () => failed("fail after", "All of it."),
  async incomplete() {
    r.same(await (await read("too long")).result.finishReason, "length");
    r.same((await generate("too long")).finishReason, "length");
  },
  async cancel() {
    const stop = new AbortController();
    const asked = { model: await model("slow"), prompt: r.SLOW, abortSignal: stop.signal };
    const more = { includeRawChunks: true, maxRetries: 0, onError: () => {} };
    let id;
    for await (const part of ai.streamText({ ...asked, ...more }).fullStream) {
      if (part.type === "raw") id ??= part.rawValue.id ?? part.rawValue.message?.id;
      if (part.type === "text-delta") stop.abort();
    }
    await r.untilCancelled(id);
  },
  async chain() {
    const wanted = "My colour is blue. | And now? (0 pictures)";
    const messages = [{ role: "user", content: "My colour is blue." }];
    const first = await read(messages, "witness");
    messages.push(...(await first.result.response).messages, { role: "user", content: "And now?" });
    r.same((await read(messages, "witness")).text, wanted); // history, as items of the server's own
    if (r.API !== "responses") return;
    const { responseId } = (await first.result.providerMetadata).openai;
    const providerOptions = { openai: { previousResponseId: responseId } };
    r.same((await read("And now?", "witness", { providerOptions })).text, wanted);
    r.same((await read(messages, "witness", { providerOptions })).text, wanted); // both: not told twice
  },
  async structured() {
    const schema = ai.jsonSchema(r.ANSWER_SCHEMA);
    const asked = { model: await model(), prompt: "as json", maxRetries: 0 };
    const object =
      SDK === 5
        ? (await ai.generateObject({ ...asked, schema })).object
        : (await ai.generateText({ ...asked, output: ai.Output.object({ schema }) })).output;
    r.same(object, r.ANSWER);
  },
  async image() {
    const content = [
      { type: "text", text: "What is this?" },
      { type: "image", image: r.PICTURE, mediaType: "image/png" },
    ];
    const { text } = await read([{ role: "user", content }], "witness");
    r.same(text, "What is this? (1 pictures)");
  },
  async unicode() {
    r.same((await read(r.UNICODE, "echo")).text, r.UNICODE);
  },
  async long() {
    r.same((await read(r.LONG, "echo")).text, r.LONG);
    const experimental_transform = ai.smoothStream({ delayInMs: null });
    r.same((await read(r.LONG, "echo", { experimental_transform })).text, r.LONG);
  },
};

/** Every Responses event is there as a raw part, and the last one has the response's id. */
async function rawEvents(parts, result) {
  const raw = parts.filter((part) => part.type === "raw").map((part) => part.rawValue);
  r.same(raw.map((event) => event.sequence_number), [...raw.keys()]);
  const last = raw.at(-1);
  r.same([raw[0].type, last.type], ["response.created", "response.completed"]);
  r.same((await result.providerMetadata).openai.responseId, last.response.id);
}

await r.main(r.versionOf("ai"), scenarios);
