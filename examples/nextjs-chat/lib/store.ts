/**
 * Chats as files, one JSON document each, replaced in one step.
 *
 * An application would have a database here. Writes to one chat follow each other; two processes over one
 * folder would not.
 */

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { readUIMessageStream } from "ai";
import { drain, type Drained, type UiChunk } from "@tailrace/ai-sdk";
import type { ChatMessage, StoredChat } from "./message.ts";

const writing = new Map<string, Promise<unknown>>();

function path(id: string): string {
  if (!/^[\w-]{1,100}$/.test(id)) throw new RangeError("a chat's id is letters, digits, - and _");
  return join(process.env.CHATS ?? ".chats", `${id}.json`);
}

export async function load(id: string): Promise<StoredChat> {
  try {
    return JSON.parse(await readFile(path(id), "utf8")) as StoredChat;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { messages: [] };
    throw error;
  }
}

/** Change a chat; changes of one chat are made one after the other. */
export async function change(id: string, edit: (chat: StoredChat) => void): Promise<void> {
  const file = path(id);
  const before = writing.get(id) ?? Promise.resolve();
  const mine = before.catch(() => {}).then(async () => {
    const chat = await load(id);
    edit(chat);
    await mkdir(join(file, ".."), { recursive: true });
    await writeFile(`${file}.new`, JSON.stringify(chat));
    await rename(`${file}.new`, file);
  });
  writing.set(id, mine);
  await mine;
  if (writing.get(id) === mine) writing.delete(id);
}

/** A message under its id, at the end if it is new. */
export function put(chat: StoredChat, message: ChatMessage): void {
  const place = chat.messages.findIndex((each) => each.id === message.id);
  if (place < 0) chat.messages.push(message);
  else chat.messages[place] = message;
}

/**
 * Read an answer to its end, whoever else reads it, and store it: at once under which response it is made, so
 * that a page that is loaded anew can go on, and at the end the message.
 */
export async function keep(id: string, stream: ReadableStream<UiChunk>): Promise<Drained> {
  const [forMessage, forSummary] = stream.tee();
  let running = "";
  const [message, found] = await Promise.all([
    lastMessage(forMessage),
    drain(forSummary, (chunk) => {
      if (running !== "" || chunk.type !== "data-streamProgress") return;
      running = chunk.data.responseId;
      void change(id, (chat) => void (chat.running = running));
    }),
  ]);
  await change(id, (chat) => {
    if (chat.running === running) delete chat.running;
    if (message !== undefined && message.parts.length > 0) put(chat, message);
    if (found.ok && found.responseId !== undefined) chat.responseId = found.responseId;
  });
  return found;
}

async function lastMessage(stream: ReadableStream<UiChunk>): Promise<ChatMessage | undefined> {
  let last: ChatMessage | undefined;
  for await (const message of readUIMessageStream<ChatMessage>({ stream, onError: () => {} })) last = message;
  return last;
}
