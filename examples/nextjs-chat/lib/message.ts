/** What a message of this chat is made of. */

import type { UIMessage } from "ai";
import type { Finish, TailraceData } from "@tailrace/ai-sdk";

export type ChatMessage = UIMessage<{ tailrace?: Partial<Finish> }, TailraceData>;

export type Mode = "simple" | "agent";

/** A chat as it is stored: `running` is the response that an answer is still being made in. */
export interface StoredChat {
  messages: ChatMessage[];
  responseId?: string;
  running?: string;
}

export function textOf(message: ChatMessage): string {
  return message.parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}

/** What the next turn continues: the last answer that was finished. */
export function lastResponseId(messages: ChatMessage[]): string | undefined {
  return messages.findLast((message) => message.metadata?.tailrace?.responseId)?.metadata?.tailrace?.responseId;
}
