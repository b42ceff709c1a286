/**
 * Going on with a response after a drop: nothing is run again.
 *
 * The stored stream is read from its beginning and shown from `startingAfter + 1` on. The server could leave
 * the beginning out (`?starting_after=`), but only who has read it knows the agents, whose turn it is and which
 * texts are open; without that a client would get deltas of parts it cannot tell apart.
 */

import type { UiChunk } from "./chunks.ts";
import { refusal, translateResponseStream } from "./streams.ts";
import type { TranslatorOptions } from "./translator.ts";

export interface ResumeOptions extends Omit<TranslatorOptions, "after"> {
  /** The agent's address: `https://host/agent/{id}`. */
  baseURL: string;
  responseId: string;
  /** The last `sequenceNumber` that the client has; -1, the default, for all from the beginning. */
  startingAfter?: number;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  fetch?: typeof fetch;
}

/** The server refused: 404 for a response that is not there or not yours, 410 for one no longer kept. */
export class ResumeError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "ResumeError";
    this.status = status;
  }
}

/** The rest of a response as a UI message stream, live where it still runs. Throws `ResumeError`. */
export async function resumeResponse(options: ResumeOptions): Promise<ReadableStream<UiChunk>> {
  const { baseURL, responseId, startingAfter = -1, headers, signal, fetch: get = fetch, ...rest } = options;
  const address = `${baseURL.replace(/\/$/, "")}/responses/${encodeURIComponent(responseId)}?stream=true`;
  const answer = await get(address, {
    headers: { accept: "text/event-stream", ...headers },
    ...(signal === undefined ? {} : { signal }),
  });
  if (!answer.ok) throw new ResumeError(answer.status, await refusal(answer));
  return translateResponseStream(answer, { ...rest, responseId, after: startingAfter });
}
