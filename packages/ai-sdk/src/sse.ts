/**
 * Server-sent events, bytes to the JSON of their `data:` lines.
 *
 * `event:`, `id:` and comment lines say nothing that the JSON does not, `[DONE]` says nothing at all, and
 * what is no JSON object is left out. Bytes may be cut anywhere, also inside a character or between CR and LF.
 */

import { isObject, parse, type JsonObject } from "./json.ts";

export class SseReader {
  #decoder = new TextDecoder();
  #rest = "";
  #data: string[] = [];

  /** The events that these bytes complete. */
  take(bytes: Uint8Array): JsonObject[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    const events: JsonObject[] = [];
    for (const line of lines) {
      if (line === "") {
        const event = this.#whole();
        if (event !== undefined) events.push(event);
      } else if (line.startsWith("data:")) {
        this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
    return events;
  }

  #whole(): JsonObject | undefined {
    const text = this.#data.join("\n");
    this.#data = [];
    const event = text === "" || text === "[DONE]" ? undefined : parse(text);
    return isObject(event) ? event : undefined;
  }
}
