/**
 * The simple way: tailrace's own `/api/chat` speaks the AI SDK's protocol, so the route hands it through.
 *
 * It is here for what a page must not see (the token) and for keeping the messages. A page that keeps its
 * messages elsewhere can talk to tailrace without any route.
 */

import { SseReader, type UiChunk } from "@tailrace/ai-sdk";
import { headers, SERVER } from "../../../lib/tailrace.ts";
import type { ChatMessage } from "../../../lib/message.ts";
import { change, keep, put } from "../../../lib/store.ts";

export async function POST(request: Request): Promise<Response> {
  const body = (await request.json()) as { id: string; messages: ChatMessage[]; agent?: string };
  const asked = body.messages.at(-1);
  if (asked?.role === "user") await change(body.id, (chat) => put(chat, asked));
  // no signal: whoever leaves stops reading, and the run and its being stored go on
  const answer = await fetch(`${SERVER}/api/chat`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers() },
    body: JSON.stringify(body),
  });
  if (!answer.ok || answer.body === null) return answer;
  const [forPage, forStore] = answer.body.tee();
  void keep(body.id, chunks(forStore));
  return new Response(forPage, { status: answer.status, headers: answer.headers });
}

function chunks(bytes: ReadableStream<Uint8Array>): ReadableStream<UiChunk> {
  const reader = new SseReader();
  const read = new TransformStream<Uint8Array, UiChunk>({
    transform(piece, controller) {
      for (const chunk of reader.take(piece)) controller.enqueue(chunk as UiChunk);
    },
  });
  return bytes.pipeThrough(read);
}
