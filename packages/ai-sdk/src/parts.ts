/** The parts of a UI message while they are made: what is said, and the calls of tools. */

import { itemPlace, MAIN } from "./agents.ts";
import type { ServerRun, UiChunk } from "./chunks.ts";
import { isObject, objects, parse, string, type Json, type JsonObject } from "./json.ts";

const CUT_OFF = "The call was cut off before it was whole.";

/** What a part needs of the stream that it is in. */
export interface Stage {
  readonly approvals: boolean;
  emit(chunk: UiChunk): void;
  /** Something of this agent is about to begin. */
  enter(agent: string, part: "said" | "call"): void;
  /** A part is open from here on, or is not any more. */
  opened(id: string): void;
  closed(id: string): void;
  /** This agent's call is whole. */
  called(agent: string): void;
  /** The reply is over: a call of it has its answer, or it broke off. */
  answered(): void;
  /** Somebody else has to act before the answer can go on. */
  handedOver(): void;
}

export interface Part {
  /** A piece of the item, as its event brings it: of which kind, and for which of its parts. */
  delta(kind: string, part: number, text: string): void;
  /** The whole of a call's arguments. */
  whole(text: string): void;
  /** A citation. */
  cite(annotation: JsonObject): void;
  /** It was given up before it was whole. */
  failed(): void;
  /** The item as it ended. */
  done(item: JsonObject): void;
}

export function agentOf(id: string): string {
  return itemPlace(id)?.agent ?? MAIN;
}

/**
 * A message or reasoning: one UI part for each content part that has any text.
 *
 * A part begins with its first text, so that nothing empty shows, and a stream that is joined in the middle
 * begins its parts where it is joined.
 */
export class Saying implements Part {
  #stage: Stage;
  #id: string;
  #kind: "text" | "reasoning";
  #open = "";
  #current = "";
  #parts = 0;
  #sources = 0;

  constructor(stage: Stage, id: string, kind: "text" | "reasoning") {
    this.#stage = stage;
    this.#id = id;
    this.#kind = kind;
  }

  delta(kind: string, part: number, text: string): void {
    if (text === "") return;
    if (this.#open !== `${kind} ${part}`) this.#begin(`${kind} ${part}`);
    this.#stage.emit({ type: `${this.#kind}-delta`, id: this.#current, delta: text });
  }

  #begin(which: string): void {
    this.#end(false);
    this.#open = which;
    this.#current = this.#parts === 0 ? this.#id : `${this.#id}_${this.#parts}`;
    this.#parts += 1;
    this.#stage.enter(agentOf(this.#id), "said");
    this.#stage.opened(this.#id);
    this.#stage.emit({ type: `${this.#kind}-start`, id: this.#current });
  }

  #end(incomplete: boolean): void {
    if (this.#open === "") return;
    this.#open = "";
    const told = incomplete ? { providerMetadata: { tailrace: { status: "incomplete" as const } } } : {};
    this.#stage.emit({ type: `${this.#kind}-end`, id: this.#current, ...told });
    this.#stage.closed(this.#id);
    if (incomplete) this.#stage.answered(); // a reply that broke off is over
  }

  cite(annotation: JsonObject): void {
    const url = string(annotation, "url");
    if (!url) return;
    const title = string(annotation, "title");
    const sourceId = `${this.#id}_source_${this.#sources}`;
    this.#sources += 1;
    this.#stage.enter(agentOf(this.#id), "said");
    this.#stage.emit({ type: "source-url", sourceId, url, ...(title === undefined ? {} : { title }) });
  }

  done(item: JsonObject): void {
    if (this.#parts === 0) this.#all(item);
    this.#end(string(item, "status") === "incomplete");
  }

  /** An item that came whole, without deltas. */
  #all(item: JsonObject): void {
    const parts = [...objects(item, "summary"), ...objects(item, "content")];
    for (const [number, part] of parts.entries()) {
      this.delta("whole", number, string(part, "text") ?? string(part, "refusal") ?? "");
    }
  }

  whole(): void {}
  failed(): void {}
}

/**
 * A tool call. One that runs on the server is `dynamic` and `providerExecuted`; one that the client runs is a
 * static part, `tool-<name>`, under the id that its answer has to name.
 *
 * A stage that was not reached is passed through when a later one is, so that a call makes sense wherever the
 * stream is joined.
 */
export class Calling implements Part {
  readonly id: string;
  #stage: Stage;
  #item: string;
  #name: string;
  #theirs: boolean;
  #custom: boolean;
  #flags: ServerRun;
  #at: "unseen" | "started" | "called" | "answered" = "unseen";
  #arguments = "";
  #failed = false;

  constructor(stage: Stage, id: string, item: JsonObject) {
    const type = string(item, "type");
    this.#stage = stage;
    this.#item = id;
    this.#name = string(item, "name") ?? "tool";
    this.#theirs = type !== "mcp_call" && type !== "mcp_approval_request";
    this.#custom = type === "custom_tool_call";
    this.#flags = this.#theirs ? {} : { providerExecuted: true, dynamic: true };
    this.id = (this.#theirs ? string(item, "call_id") : undefined) ?? callId(id);
  }

  start(): void {
    if (this.#at !== "unseen") return;
    this.#at = "started";
    this.#stage.enter(agentOf(this.#item), "call");
    this.#stage.opened(this.#item);
    this.#stage.emit({
      type: "tool-input-start",
      toolCallId: this.id,
      toolName: this.#name,
      ...this.#flags,
    });
  }

  delta(_kind: string, _part: number, text: string): void {
    this.start();
    this.#arguments += text;
    this.#stage.emit({ type: "tool-input-delta", toolCallId: this.id, inputTextDelta: text });
  }

  /** The call, once its arguments are whole. Text that is no JSON may be one that was cut off. */
  whole(text: string): void {
    if (this.#custom || read(text) !== undefined) this.#call(text);
  }

  #call(text: string): void {
    if (this.#at === "called" || this.#at === "answered") return;
    if (this.#arguments === "" && text !== "") this.delta("", 0, text);
    this.start();
    this.#at = "called";
    this.#stage.closed(this.#item);
    this.#stage.called(agentOf(this.#item));
    if (this.#theirs) this.#stage.handedOver();
    const args = this.#custom ? text : (read(text) ?? text);
    this.#stage.emit({ type: "data-toolCall", data: { id: this.id, name: this.#name, args } });
    this.#stage.emit({
      type: "tool-input-available",
      toolCallId: this.id,
      toolName: this.#name,
      input: args,
      ...this.#flags,
    });
  }

  failed(): void {
    this.#failed = true;
  }

  done(item: JsonObject): void {
    const status = string(item, "status");
    const text = string(item, this.#custom ? "input" : "arguments") ?? this.#arguments;
    if (status === "incomplete" && this.#at !== "called") return this.#cutOff();
    this.#call(text);
    if (this.#theirs || this.#at === "answered") return;
    if (status === "failed" || string(item, "error") !== undefined || isObject(item["error"])) {
      this.#answer({ type: "tool-output-error", toolCallId: this.id, errorText: complaint(item) });
    } else if (status === "incomplete") {
      if (this.#failed) this.#cutOff(); // otherwise it goes on after a pause, in a response of its own
    } else {
      this.#answer({ type: "tool-output-available", toolCallId: this.id, output: item["output"] ?? "" });
    }
  }

  #cutOff(): void {
    this.start();
    this.#stage.closed(this.#item);
    this.#answer({ type: "tool-output-error", toolCallId: this.id, errorText: CUT_OFF });
  }

  #answer(chunk: Extract<UiChunk, { type: "tool-output-available" | "tool-output-error" }>): void {
    this.#at = "answered";
    this.#stage.answered();
    this.#stage.emit({ ...chunk, ...this.#flags });
  }

  /** The call waits for a person's yes. */
  ask(item: JsonObject): void {
    const text = string(item, "arguments") ?? "";
    this.#call(text);
    this.#stage.handedOver();
    const data = { id: this.#item, toolCallId: this.id, name: this.#name, args: read(text) ?? text };
    this.#stage.emit(
      this.#stage.approvals
        ? { type: "tool-approval-request", approvalId: this.#item, toolCallId: this.id }
        : { type: "data-approval", data },
    );
  }

  cite(): void {}
}

/** One id for a call and for all requests to approve it, so that they are one part of the message. */
function callId(item: string): string {
  const first = item.replace(/(::mcpr_\d+|^mcpr_[^_]+_\d+)_\d+$/, "$1");
  return first.replace(/(^|::)mcpr_/, "$1mcp_");
}

function read(text: string): Json | undefined {
  return parse(text === "" ? "{}" : text);
}

function complaint(item: JsonObject): string {
  const error = item["error"];
  const told = isObject(error) ? string(error, "message") : undefined;
  return string(item, "output") ?? told ?? string(item, "error") ?? "The tool failed.";
}
