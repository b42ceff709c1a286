// The AI SDK's chat in the browser's role, DefaultChatTransport against /api/chat.
// The argument names what holds the chat: class (AbstractChat) or hook (useChat).

import * as ai from "ai";
import * as r from "./reporting.mjs";

const { open, close } = await import(`./ui_${r.API}.mjs`);
const api = `${r.BASE}/api/chat`;
const SDK = Number(r.versionOf("ai").split(".")[0]);
const TOOLS = { get_weather: { description: "Weather", inputSchema: r.PARAMETERS } };

let chats = 0;

/** A chat with an agent; `errors` and `data` collect what its callbacks are told. */
async function begin(agent, { body, ...more } = {}) {
  const errors = [];
  const data = [];
  const transport = new ai.DefaultChatTransport({ api, body: { agent, ...body } });
  const chat = await open({
    id: `compat-${process.pid}-${++chats}`,
    transport,
    onError: (error) => errors.push(String(error?.message)),
    onData: (part) => data.push(part),
    ...more,
  });
  return { chat, errors, data };
}

/** Wait until the chat rests with as many messages. */
async function rest(chat, messages = 2) {
  await until(() => chat.status === "error" || (chat.status === "ready" && chat.messages.length >= messages));
}

async function until(condition) {
  const deadline = Date.now() + 20_000;
  for (let still = 0; still < 3; still = condition() ? still + 1 : 0) {
    r.ok(Date.now() < deadline, "the chat does not settle");
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** One message sent, and the chat after the answer. */
async function talk(text, agent = "helper", more = {}) {
  const begun = await begin(agent, more);
  await begun.chat.sendMessage({ text });
  await rest(begun.chat);
  return begun;
}

const last = (chat) => chat.messages.at(-1);
const textOf = (message) =>
  message.parts.map((part) => (part.type === "text" ? part.text : "")).join("");

async function said(asked, agent, wanted) {
  const { chat, errors } = await talk(asked, agent);
  r.same([textOf(last(chat)), chat.status, errors], [wanted, "ready", []]);
  if (r.API === "hook") r.ok(chat.page.includes(wanted), "the page does not show it");
  return last(chat);
}

async function ranThere(asked, tool, wanted, answer) {
  const message = await said(asked, "helper", wanted);
  const call = message.parts.find((part) => part.type === "dynamic-tool");
  r.same([call.toolName, call.state], [tool, "output-available"]);
  r.ok(JSON.stringify(call.output).includes(answer), JSON.stringify(call));
}

async function failed(asked, wanted) {
  const { chat, errors } = await talk(asked);
  r.same([chat.status, errors.length], ["error", 1]);
  r.ok(errors[0].includes("The model"), errors[0]);
  const answer = last(chat).role === "assistant" ? textOf(last(chat)) : "";
  r.same(answer, wanted);
}

/** The user answers and says something besides: both count, and the reply is a message of its own. */
async function withMessage(knows) {
  const { chat, errors } = await begin("clerk", { body: knows ? { toolApproval: true } : {} });
  await chat.sendMessage({ text: "Where is my hat?" });
  await rest(chat);
  let body = {};
  if (knows) {
    const { approval } = last(chat).parts.find((part) => part.state === "approval-requested");
    await chat.addToolApprovalResponse({ id: approval.id, approved: true });
  } else {
    const { data } = last(chat).parts.find((part) => part.type === "data-approval");
    body = { approvals: [{ id: data.id, approved: true }] };
  }
  await chat.sendMessage({ text: "think" }, { body: { ...(knows ? { toolApproval: true } : {}), ...body } });
  await rest(chat, 4);
  r.same([textOf(last(chat)), chat.messages.length, errors], ["It is 4.", 4, []]);
  const call = last(chat).parts.find((part) => part.type === "dynamic-tool");
  r.same([call.toolName, call.state], ["find", "output-available"]);
  r.same(new Set(chat.messages.map((message) => message.id)).size, 4);
}

await r.main(r.versionOf("ai"), {
  async approval() {
    const knows = SDK > 5;
    const { chat, errors } = await begin("clerk", {
      body: knows ? { toolApproval: true } : {},
      ...(knows ? { sendAutomaticallyWhen: ai.lastAssistantMessageIsCompleteWithApprovalResponses } : {}),
    });
    await chat.sendMessage({ text: "Where is my hat?" });
    await rest(chat);
    if (knows) {
      const { approval } = last(chat).parts.find((part) => part.state === "approval-requested");
      await chat.addToolApprovalResponse({ id: approval.id, approved: true });
    } else {
      const { data } = last(chat).parts.find((part) => part.type === "data-approval");
      await chat.sendMessage(undefined, { body: { approvals: [{ id: data.id, approved: true }] } });
    }
    await until(() => chat.status === "error" || textOf(last(chat)).endsWith("Found a hat."));
    r.same([chat.messages.length, errors], [2, []]);
    await withMessage(knows);
  },
  async text() {
    const message = await said("One two three", "echo", "One two three");
    r.same(message.metadata.tailrace.finishReason, "stop");
    const { chat } = await talk("One two three", "echo");
    await chat.regenerate();
    await rest(chat);
    r.same(chat.messages.length, 2);
    const transport = new ai.DefaultChatTransport({ api, body: { agent: "echo" } });
    const messages = [{ id: "1", role: "user", parts: [{ type: "text", text: "One two three" }] }];
    const asked = { trigger: "submit-message", chatId: `${chat.id}-read`, messages };
    const stream = await transport.sendMessages(asked);
    const read = await r.all(ai.readUIMessageStream({ stream }));
    r.same(textOf(read.at(-1)), "One two three");
  },
  async reasoning() {
    const { parts } = await said("think", "helper", "It is 4.");
    r.same(parts.find((part) => part.type === "reasoning").text, "Adding up. ");
  },
  async client_tools() {
    const { chat, errors } = await begin("helper", {
      body: { tools: TOOLS },
      sendAutomaticallyWhen: ai.lastAssistantMessageIsCompleteWithToolCalls,
      onToolCall: ({ toolCall }) => {
        const output = { tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: "fine" };
        void (chat.addToolOutput ?? chat.addToolResult)(output);
      },
    });
    await chat.sendMessage({ text: "both cities" });
    await until(() => chat.status === "error" || textOf(last(chat)) === "Snow and sun.");
    const calls = last(chat).parts.filter((part) => part.type === "tool-get_weather");
    r.same(calls.map((call) => [call.state, call.input]), r.CITIES.map((city) => ["output-available", city]));
    r.same([chat.messages.length, errors], [2, []]);
  },
  server_tool: () =>
    ranThere("Where is my hat?", "find", "Let me look. Found a hat.", "found"),
  mcp_tool: () => ranThere("Read my notes", "echo", "Milk, it says.", "milk"),
  async subagents() {
    const { parts } = (await talk("let two look")).chat.messages.at(-1);
    const names = parts.filter((part) => part.type === "data-subagent").map((part) => part.data.name);
    r.ok(names.includes("researcher"), JSON.stringify(names));
    r.ok(parts.some((part) => part.type === "data-subagent-end"), "no end");
    const texts = parts.filter((part) => part.type === "text").map((part) => part.text.trim());
    const wanted = ["Both are back.", "I let two look.", "Nothing there.", "Nothing there."];
    r.same(texts.sort(), wanted);
  },
  refusal: () => said("refuse", "helper", "No, thank you."),
  async failure_before() {
    await failed("fail before", "");
    const { chat, errors } = await talk("x", "nobody");
    r.same(chat.status, "error");
    r.ok(errors[0].includes("nobody"), errors[0]);
  },
  failure_during: () => failed("fail during", "Half of it"),
  failure_after: () => failed("fail after", "All of it."),
  async incomplete() {
    const message = await said("too long", "helper", "And so on");
    r.same(message.metadata.tailrace.finishReason, "length");
  },
  async cancel() {
    const { chat, data } = await begin("slow");
    void chat.sendMessage({ text: r.SLOW });
    await until(() => chat.messages.length === 2 && textOf(last(chat)).length > 20);
    r.same((await fetch(`${api}/${chat.id}/cancel`, { method: "POST" })).status, 200);
    await rest(chat);
    r.same(chat.status, "ready");
    const { responseId } = data.find((part) => part.type === "data-streamProgress").data;
    await r.untilCancelled(responseId);
  },
  async resume() {
    const { chat } = await begin("slow");
    const asked = "word ".repeat(60).trim();
    void chat.sendMessage({ text: asked });
    await until(() => chat.messages.length === 2 && textOf(last(chat)).length > 10);
    const messages = [structuredClone(chat.messages[0])];
    await close(chat);
    const again = await begin("slow", { id: chat.id, messages, resume: true });
    await until(() => again.chat.messages.length === 2 && textOf(last(again.chat)) === asked);
    await rest(again.chat);
    r.same([again.chat.status, again.errors], ["ready", []]);
  },
  async chain() {
    const { chat } = await talk("My colour is blue.", "witness");
    await chat.sendMessage({ text: "And now?" });
    await rest(chat, 4);
    r.same(textOf(last(chat)), "My colour is blue. | And now? (0 pictures)");
  },
  async image() {
    const { chat } = await begin("witness");
    const url = `data:image/png;base64,${r.PICTURE}`;
    await chat.sendMessage({ text: "What is this?", files: [{ type: "file", mediaType: "image/png", url }] });
    await rest(chat);
    r.same(textOf(last(chat)), "What is this? (1 pictures)");
  },
  unicode: () => said(r.UNICODE, "echo", r.UNICODE),
  long: () => said(r.LONG, "echo", r.LONG),
});
