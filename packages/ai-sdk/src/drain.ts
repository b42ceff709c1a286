/**
 * What is left of a stream when it is over: reading all of it, for the background.
 *
 * `const [forClient, forStore] = stream.tee()` gives a branch that `drain` brings to its end at the server's
 * pace, however slow the other one is read, and also when it is not read any more.
 */

import type { Finish, UiChunk, Usage } from "./chunks.ts";

export interface Drained {
  /** The response's id: `previousResponseId` of the next turn. */
  responseId: string | undefined;
  usage: Usage | undefined;
  /** The response was completed: neither cut off, nor failed, nor cancelled. */
  ok: boolean;
  finishReason: Finish["finishReason"] | undefined;
  error: string | undefined;
  /** The last position. */
  sequenceNumber: number;
  timeToFirstToken: number | undefined;
}

/** Read a UI message stream to its end. `each` sees every chunk. Does not throw: a broken stream is not `ok`. */
export async function drain(
  stream: ReadableStream<UiChunk>,
  each: (chunk: UiChunk) => void = () => {},
): Promise<Drained> {
  const found: Drained = {
    responseId: undefined,
    usage: undefined,
    ok: false,
    finishReason: undefined,
    error: undefined,
    sequenceNumber: -1,
    timeToFirstToken: undefined,
  };
  try {
    for await (const chunk of stream) {
      note(found, chunk);
      each(chunk);
    }
  } catch (error) {
    return { ...found, ok: false, error: error instanceof Error ? error.message : String(error) };
  }
  return found;
}

function note(found: Drained, chunk: UiChunk): void {
  if (chunk.type === "data-streamProgress") {
    found.responseId = chunk.data.responseId;
    found.sequenceNumber = chunk.data.sequenceNumber;
  } else if (chunk.type === "error") {
    found.error = chunk.errorText;
  } else if (chunk.type === "finish") {
    const told = chunk.messageMetadata.tailrace;
    found.finishReason = told.finishReason;
    found.usage = told.usage;
    found.timeToFirstToken = told.timeToFirstToken;
    found.ok = told.finishReason === "stop" || told.finishReason === "tool-calls";
  }
}
