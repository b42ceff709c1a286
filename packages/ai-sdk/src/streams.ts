/** The translator around streams: bytes, a fetched response, or the raw parts of the AI SDK. */

import type { UiChunk } from "./chunks.ts";
import { isObject, object, parse, string, type JsonObject } from "./json.ts";
import { SseReader } from "./sse.ts";
import { Translator, type TranslatorOptions } from "./translator.ts";

const clock = () => performance.now();

/**
 * The body of `POST …/responses` or `GET …/responses/{id}?stream=true` as a UI message stream.
 *
 * A body that breaks off ends in an `error` chunk, so does a refused request: nothing is thrown. Reading
 * goes at the reader's pace; cancelling the result cancels the body.
 */
export function translateResponseStream(
  source: ReadableStream<Uint8Array> | Response,
  options: TranslatorOptions = {},
): ReadableStream<UiChunk> {
  return streamOf(fromBytes(source, new Translator({ clock, ...options })));
}

/**
 * The parts of `streamText({ includeRawChunks: true }).fullStream` as a UI message stream.
 *
 * Only raw parts are read, each one Responses event as it came, and the errors of a request that had none.
 */
export function translateRawParts(
  parts: AsyncIterable<{ type: string }>,
  options: TranslatorOptions = {},
): ReadableStream<UiChunk> {
  return streamOf(fromParts(parts, new Translator({ clock, ...options })));
}

async function* fromBytes(
  source: ReadableStream<Uint8Array> | Response,
  translator: Translator,
): AsyncGenerator<UiChunk[]> {
  if (source instanceof Response && !source.ok) {
    yield translator.end(await refusal(source));
    return;
  }
  const body = source instanceof Response ? source.body : source;
  let broken = "";
  try {
    const reader = new SseReader();
    for await (const bytes of body ?? []) yield reader.take(bytes).flatMap((event) => translator.take(event));
  } catch (error) {
    broken = message(error);
  }
  yield translator.end(broken);
}

async function* fromParts(
  parts: AsyncIterable<{ type: string }>,
  translator: Translator,
): AsyncGenerator<UiChunk[]> {
  let broken = "";
  try {
    for await (const part of parts) {
      const { rawValue, error } = part as { rawValue?: unknown; error?: unknown };
      if (part.type === "raw" && isObject(rawValue)) yield translator.take(rawValue as JsonObject);
      else if (part.type === "error") broken ||= message(error);
    }
  } catch (error) {
    broken = message(error);
  }
  yield translator.end(broken);
}

/** What a server says in refusing a request. */
export async function refusal(response: Response): Promise<string> {
  const text = await response.text().catch(() => "");
  const body = parse(text);
  const told = isObject(body) ? string(object(body, "error"), "message") : undefined;
  return told ?? (text || `HTTP ${response.status}`);
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function streamOf(batches: AsyncGenerator<UiChunk[]>): ReadableStream<UiChunk> {
  return new ReadableStream<UiChunk>({
    async pull(controller) {
      for (;;) {
        const { value, done } = await batches.next();
        if (done) return controller.close();
        for (const chunk of value) controller.enqueue(chunk);
        if (value.length > 0) return;
      }
    },
    async cancel() {
      await batches.return(undefined);
    },
  });
}
