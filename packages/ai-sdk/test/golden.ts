/** The recorded streams of the repository: one run, as each surface shows it. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { SseReader, Translator, type JsonObject, type TranslatorOptions, type UiChunk } from "../src/index.ts";

const FOLDER = join(import.meta.dirname, "../../../tests/transcripts");

export const scenarios = readdirSync(FOLDER).sort();

export function bytes(scenario: string, surface: string): Uint8Array | undefined {
  const path = join(FOLDER, scenario, `${surface}.sse`);
  return existsSync(path) ? readFileSync(path) : undefined;
}

/** The stream of `/agent/{id}`; of a run with no agents below, `/v1` has recorded the same. */
export function agentBytes(scenario: string): Uint8Array {
  const found = bytes(scenario, "agent-responses") ?? bytes(scenario, "responses");
  if (found === undefined) throw new Error(`${scenario} has no Responses stream`);
  return found;
}

export function events(stream: Uint8Array): JsonObject[] {
  return new SseReader().take(stream);
}

export function translate(stream: JsonObject[], options: TranslatorOptions = {}): UiChunk[] {
  const translator = new Translator(options);
  return [...stream.flatMap((event) => translator.take(event)), ...translator.end()];
}

export function ofType<T extends UiChunk["type"]>(chunks: UiChunk[], type: T) {
  return chunks.filter((chunk): chunk is UiChunk & { type: T } => chunk.type === type);
}

/** A stream of these bytes, cut into pieces of a size. */
export function body(stream: Uint8Array, size = stream.length): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= stream.length) return controller.close();
      controller.enqueue(stream.slice(at, at + size));
      at += size;
    },
  });
}

export function streamOf<T>(values: T[]): ReadableStream<T> {
  return new ReadableStream({
    start(controller) {
      for (const value of values) controller.enqueue(value);
      controller.close();
    },
  });
}

export async function all<T>(stream: ReadableStream<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const each of stream) found.push(each);
  return found;
}
