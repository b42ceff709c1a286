/** The routes of examples/nextjs-chat as functions, over a running server, read by the class behind `useChat`. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";

import { Chat } from "@ai-sdk/react";
import { cancel, transport, type Place } from "../.example/lib/client.ts";
import type { ChatMessage, Mode, StoredChat } from "../.example/lib/message.ts";
import type { Subagent } from "../src/index.ts";
import { absent, live, LONG, type Live } from "./live.ts";

type Route = (request: Request, context: { params: Promise<{ id: string }> }) => Promise<Response>;

describe("the Next.js example", { skip: absent }, () => {
  let server: Live;
  let folder: string;
  let routes: [RegExp, string, Route][];
  let asked: string[] = [];
  /** With which headers the routes asked the server. */
  let shown: Headers[] = [];
  /** After how many bytes the page's connection breaks, once. */
  let breakAfter: number | undefined;
  const real = globalThis.fetch;

  before(async () => {
    server = await live();
    folder = mkdtempSync(join(tmpdir(), "tailrace-chats-"));
    Object.assign(process.env, { TAILRACE_URL: server.url, TAILRACE_TOKEN: server.token, CHATS: folder });
    const api = "../.example/app/api";
    const load = async (path: string) => (await import(`${api}/${path}/route.ts`)) as Record<string, Route>;
    routes = [
      [/^\/api\/chat$/, "POST", (await load("chat"))["POST"]!],
      [/^\/api\/chat\/([^/]+)\/stream$/, "GET", (await load("chat/[id]/stream"))["GET"]!],
      [/^\/api\/chat\/([^/]+)\/cancel$/, "POST", (await load("chat/[id]/cancel"))["POST"]!],
      [/^\/api\/agent$/, "POST", (await load("agent"))["POST"]!],
      [/^\/api\/agent\/resume$/, "GET", (await load("agent/resume"))["GET"]!],
      [/^\/api\/agent\/cancel$/, "POST", (await load("agent/cancel"))["POST"]!],
    ];
    globalThis.fetch = page;
  });
  after(async () => {
    globalThis.fetch = real;
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    asked = [];
    shown = [];
    breakAfter = undefined;
  });

  /** A page's fetch: its own routes, whose connection may break as a browser's does. */
  const page: typeof fetch = async (input, init) => {
    if (typeof input !== "string" || !input.startsWith("/")) {
      shown.push(new Headers(init?.headers));
      return real(input, init);
    }
    const url = new URL(input, "http://page.test");
    const [path, , route] = routes.find(([path, method]) => path.test(url.pathname) && method === (init?.method ?? "GET"))!;
    asked.push(`${init?.method ?? "GET"} ${url.pathname}${url.search}`);
    const params = Promise.resolve({ id: path.exec(url.pathname)?.[1] ?? "" });
    const answer = await route(new Request(url, init), { params });
    if (breakAfter === undefined || answer.body === null) return answer;
    let left = breakAfter;
    breakAfter = undefined;
    const reader = answer.body.getReader();
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const { value, done } = await reader.read();
        if (done) return controller.close();
        controller.enqueue(value.slice(0, left));
        left -= value.length;
        if (left > 0) return;
        void reader.cancel();
        controller.error(new TypeError("network error"));
      },
    });
    return new Response(body, answer);
  };

  function open(mode: Mode, id: string, stored: StoredChat = { messages: [] }) {
    const place: Place = { responseId: stored.running ?? "", sequenceNumber: -1, terminal: false };
    const data: { type: string; data: unknown }[] = [];
    const agent = mode === "simple" ? "desk" : "7";
    const chat = new Chat<ChatMessage>({
      id,
      messages: stored.messages,
      transport: transport(mode, id, agent, place),
      onError: () => {},
      onData: (part) => {
        data.push(part);
        if (part.type === "data-streamProgress") Object.assign(place, part.data);
      },
    });
    return { chat, place, data, cancel: () => cancel(mode, id, agent, place) };
  }

  const text = (message: ChatMessage | undefined) =>
    (message?.parts ?? []).flatMap((part) => (part.type === "text" ? [part.text] : [])).join("");

  /** Both forms of the token reached the server. */
  function assertShown(): void {
    assert.ok(shown.length > 0);
    for (const headers of shown) {
      assert.equal(headers.get("authorization"), `Bearer ${server.token}`);
      assert.equal(headers.get("x-oauth-access-token"), server.token);
    }
  }

  async function stored(id: string, fits: (chat: StoredChat) => boolean): Promise<StoredChat> {
    for (let tries = 0; tries < 200; tries += 1) {
      try {
        const chat = JSON.parse(readFileSync(join(folder, `${id}.json`), "utf8")) as StoredChat;
        if (fits(chat)) return chat;
      } catch {
        // not there yet
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`${id} was not stored`);
  }

  const answered = (chat: StoredChat) => chat.messages.at(-1)?.role === "assistant" && chat.running === undefined;

  for (const mode of ["simple", "agent"] as const) {
    test(`${mode}: turns, the subagent's panel, and what is stored (R46, R60, R61, R62, R68, R85, R86, R96)`, async () => {
      const id = `turns-${mode}`;
      const { chat, data, place } = open(mode, id);
      const panels: (string | undefined)[] = [];
      const unwatch = chat["~registerMessagesCallback"](() => {
        const parts = chat.lastMessage?.parts ?? [];
        const last = parts.findLast((part) => part.type === "data-subagent" || part.type === "data-subagent-end");
        panels.push((last?.data as Subagent | null | undefined)?.name);
      }); // what the hook renders from
      await chat.sendMessage({ text: "trial period" });
      unwatch();
      assert.equal(chat.status, "ready", String(chat.error));
      assert.match(text(chat.lastMessage), /^The jurist looks it up\. .*renewed once\.$/);
      assert.ok(panels.includes("jurist"), "while it runs");
      assert.equal(panels.at(-1), undefined);
      const types = chat.lastMessage!.parts.map((part) => part.type);
      assert.ok(types.includes("data-toolCall") && types.includes("dynamic-tool"));
      assert.ok(!types.includes("data-streamProgress"), "transient");
      assert.equal(data.find((part) => part.type === "data-conversationId")?.data, id);
      assert.ok(place.terminal);
      const first = await stored(id, answered);
      assert.deepEqual(first.messages.at(-1)?.parts, JSON.parse(JSON.stringify(chat.lastMessage!.parts)));
      assert.equal(first.responseId, place.responseId);
      assertShown();

      await chat.sendMessage({ text: "hello" });
      assert.match(text(chat.lastMessage), /^I am the desk\./);
      const second = await stored(id, (each) => each.messages.length === 4);
      assert.equal(second.messages.length, 4);
      if (mode === "agent") {
        const now = (await stored(id, (each) => each.responseId !== first.responseId)).responseId;
        const answer = await real(`${server.url}/agent/7/responses/${now}`, { headers: server.headers });
        const previous = ((await answer.json()) as { previous_response_id: string }).previous_response_id;
        assert.equal(previous, first.responseId);
      }
    });

    for (const size of [1700, 2011, 2333, 2650]) test(`${mode}: after ${size} bytes the connection breaks, the page goes on and nothing runs again (R80, R87, R92)`, async () => {
      const id = `drop-${size}-${mode}`;
      const { chat, place } = open(mode, id);
      breakAfter = size;
      await chat.sendMessage({ text: "count" });
      assert.equal(chat.status, "error");
      const had = text(chat.lastMessage);
      assert.ok(had.length > 0 && !had.endsWith("twenty-five"), had);
      const from = place.sequenceNumber;
      await chat.resumeStream();
      assert.equal(chat.status, "ready", String(chat.error));
      assert.equal(text(chat.lastMessage).replace(/\s+/g, " ").split(" ").length, 25, text(chat.lastMessage));
      assert.match(text(chat.lastMessage), /^one two three .* twenty-five$/);
      assert.equal(chat.messages.length, 2);
      assert.equal(chat.lastMessage!.parts.filter((part) => part.type === "text").length, 1);
      assert.equal(asked.filter((each) => each.startsWith("POST")).length, 1, "nothing was sent twice");
      assert.match(asked.at(-1)!, new RegExp(`(startingAfter|after)=${from}\\b`));
      const kept = await stored(id, answered);
      assert.equal(text(kept.messages.at(-1)), text(chat.lastMessage), "although the page had gone");
    });

    test(`${mode}: a page that is loaded anew shows the answer from its beginning`, async () => {
      const id = `reload-${mode}`;
      const { chat } = open(mode, id);
      breakAfter = 1500;
      await chat.sendMessage({ text: "long" });
      const found = await stored(id, (each) => each.running !== undefined);
      const again = open(mode, id, found);
      await again.chat.resumeStream();
      assert.equal(text(again.chat.lastMessage), LONG);
      assert.equal(again.chat.messages.length, 2);
      await stored(id, (each) => each.running === undefined);
      const late = open(mode, id, found); // it ended between the page's being made and its asking
      await late.chat.resumeStream();
      assert.equal(text(late.chat.lastMessage), LONG);
    });

    test(`${mode}: cancelling ends the run`, async () => {
      const id = `cancel-${mode}`;
      const { chat, place, cancel } = open(mode, id);
      const sent = chat.sendMessage({ text: "long" });
      while (text(chat.lastMessage).length < 10 || place.responseId === "") {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await cancel();
      await sent;
      assert.ok(text(chat.lastMessage).length < LONG.length);
      const answer = await real(`${server.url}/agent/7/responses/${place.responseId}`, { headers: server.headers });
      assert.equal(((await answer.json()) as { status: string }).status, "cancelled");
    });

    test(`${mode}: a cancel that comes late ends no other run`, async () => {
      const id = `late-${mode}`;
      const { chat, place } = open(mode, id);
      await chat.sendMessage({ text: "hello" });
      const first = { ...place };
      const sent = chat.sendMessage({ text: "long" });
      while (place.responseId === first.responseId) await new Promise((resolve) => setTimeout(resolve, 2));
      await cancel(mode, id, mode === "simple" ? "desk" : "7", first);
      await sent;
      assert.equal(text(chat.lastMessage), LONG);
    });

    test(`${mode}: a run that fails says why`, async () => {
      const { chat, place } = open(mode, `break-${mode}`);
      await chat.sendMessage({ text: "break" });
      assert.equal(chat.error?.message, "The model died.");
      assert.ok(place.terminal, "so the page does not try to go on");
    });
  }

  test("the resume route: its form, its defaults, what is gone (R88, R89, R90, R91)", async () => {
    const { chat, place } = open("agent", "form");
    await chat.sendMessage({ text: "hello" });
    shown = [];
    const get = (query: string) => page(`/api/agent/resume?${query}`);
    const whole = await get(`responseId=${place.responseId}&workflowId=7`);
    assert.equal(whole.headers.get("x-vercel-ai-ui-message-stream"), "v1");
    assertShown();
    assert.match(await whole.text(), /^data: \{"type":"start".*I .*data: \[DONE\]\n\n$/s);
    assert.equal((await get("responseId=resp_none&workflowId=7")).status, 404);
    assert.equal((await get("workflowId=7")).status, 400);
    assert.equal((await get(`responseId=${place.responseId}&workflowId=7&startingAfter=x`)).status, 400);
  });
});
