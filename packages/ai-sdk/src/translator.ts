/**
 * A Responses event stream as UI message chunks: one event in, its chunks out; no clock, no I/O.
 *
 * After the chunks of an event stands its position, a transient `data-streamProgress`; the last chunk of the
 * stream has its position before it, for clients stop reading at an error. Every agent is shown: what stands
 * after a `data-subagent` is that agent's, until the next one or `data-subagent-end`.
 *
 * A step is a model's reply. The stream does not say where one ends, so it is taken to: when nothing is open,
 * and a call has been answered since it began, or whole calls are followed by anything but one more call of
 * the same agent.
 */

import { EXTENSION_KEY, findAgent, MAIN, parseRegistry, type Registry } from "./agents.ts";
import type { FinishReason, UiChunk, Usage } from "./chunks.ts";
import { number, object, string, type JsonObject } from "./json.ts";
import { agentOf, Calling, Saying, type Part, type Stage } from "./parts.ts";

export interface TranslatorOptions {
  /** What the server's metadata keys begin with (`x_alien`). */
  extensionKey?: string;
  /** What the application calls the conversation; else the response's conversation, else its id. */
  conversationId?: string;
  /** The id of the UI message; else the response's. */
  messageId?: string;
  /**
   * The last `sequenceNumber` that the client has. What came up to there is read, so that open parts and
   * speakers are known, and not shown again; conversation, registry and position are.
   */
  after?: number;
  /** For a stream that begins in the middle: whose it is, and what the response's first events told. */
  responseId?: string;
  registry?: Registry;
  /** The client knows `tool-approval-request` (AI SDK 6 and later; version 5 ends the chat at it). */
  approvals?: boolean;
  /** Milliseconds, for the time to the first token; by default none is told. */
  clock?: () => number;
}

type Handler = (run: Translator, event: JsonObject) => void;

const delta =
  (kind: string, index: string, field = "delta"): Handler =>
  (run, event) =>
    run.item(event)?.delta(kind, number(event, index) ?? 0, string(event, field) ?? "");

const whole =
  (field: string): Handler =>
  (run, event) =>
    run.item(event)?.whole(string(event, field) ?? "");

/** What each event does. One that is not here has a position and nothing else. */
const EVENTS: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ["response.output_item.added", (run, event) => run.begun(object(event, "item"))],
  ["response.output_text.delta", delta("text", "content_index")],
  ["response.refusal.delta", delta("refusal", "content_index")],
  ["response.reasoning_summary_text.delta", delta("summary", "summary_index")],
  ["response.reasoning_text.delta", delta("text", "content_index")],
  ["response.output_text.annotation.added", (run, event) => run.item(event)?.cite(object(event, "annotation"))],
  ["response.mcp_call_arguments.delta", delta("arguments", "")],
  ["response.function_call_arguments.delta", delta("arguments", "")],
  ["response.custom_tool_call_input.delta", delta("arguments", "")],
  ["response.mcp_call_arguments.done", whole("arguments")],
  ["response.function_call_arguments.done", whole("arguments")],
  ["response.custom_tool_call_input.done", whole("input")],
  ["response.mcp_call.failed", (run, event) => run.item(event)?.failed()],
  ["response.output_item.done", (run, event) => run.ended(object(event, "item"))],
  ["error", (run, event) => run.complain(event)],
]);

/** The events that end a stream. */
const TERMINAL: ReadonlySet<string> = new Set(["response.completed", "response.incomplete", "response.failed"]);
const SAID: ReadonlyMap<string, "text" | "reasoning"> = new Map([
  ["message", "text"],
  ["reasoning", "reasoning"],
]);
const CALLS: ReadonlySet<string> = new Set(["mcp_call", "function_call", "custom_tool_call"]);
const NO_END = "The stream broke off before the response had ended.";

export class Translator implements Stage {
  readonly approvals: boolean;
  #options: TranslatorOptions;
  #registry: Registry;
  #responseId: string;
  #sequence: number;
  #phase: "new" | "muted" | "open" | "over" = "new";
  #items = new Map<string, Part>();
  #open = new Set<string>();
  #speaker = "";
  #inStep = false;
  #answered = false;
  #callers = new Set<string>();
  #handed = false;
  #error = "";
  #startedAt: number | undefined;
  #firstToken: number | undefined;
  #out: UiChunk[] = [];

  constructor(options: TranslatorOptions = {}) {
    this.#options = options;
    this.approvals = options.approvals ?? false;
    this.#registry = options.registry ?? { root: MAIN, entries: [], truncated: false };
    this.#responseId = options.responseId ?? "";
    this.#sequence = -1;
    this.#startedAt = options.clock?.();
  }

  /** The chunks of one event. */
  take(event: JsonObject): UiChunk[] {
    if (this.#phase === "over") return [];
    const type = string(event, "type") ?? "";
    this.#sequence = number(event, "sequence_number") ?? this.#sequence + 1;
    if ("response" in event) this.#learn(object(event, "response"));
    this.#advance(TERMINAL.has(type));
    if (TERMINAL.has(type)) this.#finish(type, object(event, "response"));
    else {
      EVENTS.get(type)?.(this, event);
      this.#progress(false);
    }
    return this.#take();
  }

  /** Nothing follows: the chunks of a stream that broke off; none when it had ended. */
  end(reason = ""): UiChunk[] {
    if (this.#phase === "over") return [];
    this.#advance(true);
    this.#phase = "over";
    this.emit({ type: "error", errorText: this.#error || reason || NO_END });
    return this.#take();
  }

  #take(): UiChunk[] {
    const out = this.#phase === "muted" ? [] : this.#out;
    this.#out = [];
    return out;
  }

  #learn(response: JsonObject): void {
    this.#responseId = string(response, "id") ?? this.#responseId;
    this.#registry = parseRegistry(response, this.#options.extensionKey ?? EXTENSION_KEY) ?? this.#registry;
    const named = string(object(response, "conversation"), "id");
    if (named !== undefined) this.#options = { conversationId: named, ...this.#options };
  }

  /** To where this event is: not yet shown, at the beginning, or on. The end of a stream is always shown. */
  #advance(last: boolean): void {
    const after = this.#options.after ?? -1;
    if (this.#phase === "open") return;
    if (this.#sequence <= after && !last) {
      this.#phase = "muted";
      return;
    }
    this.#phase = "open";
    this.#preface();
    if (after >= 0 && this.#sequence > after) this.#position(after, false);
  }

  /** What a client must know first: the message, the conversation, the agents. Also where it resumes. */
  #preface(): void {
    const id = this.#options.messageId ?? this.#responseId;
    this.emit(id === "" ? { type: "start" } : { type: "start", messageId: id });
    const conversation = this.#options.conversationId ?? this.#responseId;
    if (conversation !== "") this.emit({ type: "data-conversationId", data: conversation, transient: true });
    const agents = this.#registry.entries;
    if (agents.length > 0) this.emit({ type: "data-agentRegistry", data: agents, transient: true });
  }

  #progress(terminal: boolean): void {
    if (this.#phase === "open") this.#position(this.#sequence, terminal);
  }

  #position(sequenceNumber: number, terminal: boolean): void {
    if (this.#responseId === "") return;
    const data = { responseId: this.#responseId, sequenceNumber, terminal };
    this.emit({ type: "data-streamProgress", data, transient: true });
  }

  emit(chunk: UiChunk): void {
    this.#out.push(chunk);
    if (this.#firstToken !== undefined || this.#startedAt === undefined) return;
    if (chunk.type === "text-delta" || chunk.type === "reasoning-delta") {
      this.#firstToken = (this.#options.clock?.() ?? this.#startedAt) - this.#startedAt;
    }
  }

  enter(agent: string, part: "said" | "call"): void {
    if (this.#inStep && this.#open.size === 0 && this.#replied(agent, part)) this.#endStep();
    if (!this.#inStep) {
      this.#inStep = true;
      this.emit({ type: "start-step" });
    }
    const entry = findAgent(this.#registry, agent);
    const speaker = entry.kind === "main" ? "" : agent;
    if (speaker === this.#speaker) return;
    this.#speaker = speaker;
    if (speaker === "") this.emit({ type: "data-subagent-end", data: null });
    else this.emit({ type: "data-subagent", data: { agentId: entry.id, ...entry } });
  }

  #replied(agent: string, part: "said" | "call"): boolean {
    if (this.#answered) return true;
    return this.#callers.size > 0 && (part === "said" || !this.#callers.has(agent));
  }

  #endStep(): void {
    if (!this.#inStep) return;
    this.#inStep = this.#answered = false;
    this.#callers.clear();
    this.emit({ type: "finish-step" });
  }

  opened(id: string): void {
    this.#open.add(id);
  }

  closed(id: string): void {
    this.#open.delete(id);
  }

  called(agent: string): void {
    this.#callers.add(agent);
  }

  answered(): void {
    this.#answered = true;
  }

  handedOver(): void {
    this.#handed = true;
  }

  /** The item that an event is about; one never announced is a text, for only of a text is a piece enough. */
  item(event: JsonObject): Part | undefined {
    const id = string(event, "item_id");
    if (id === undefined) return undefined;
    const type = string(event, "type") ?? "";
    const known = this.#items.get(id);
    if (known !== undefined || !/^response\.(output_text|refusal|reasoning)/.test(type)) return known;
    return this.#add(id, new Saying(this, id, type.startsWith("response.reasoning") ? "reasoning" : "text"));
  }

  #add<P extends Part>(id: string, part: P): P {
    this.#items.set(id, part);
    return part;
  }

  begun(item: JsonObject): void {
    const part = this.#part(item);
    if (part instanceof Calling && CALLS.has(string(item, "type") ?? "")) part.start();
  }

  #part(item: JsonObject): Part | undefined {
    const [id, type] = [string(item, "id"), string(item, "type") ?? ""];
    if (id === undefined) return undefined;
    const kind = SAID.get(type);
    const known = this.#items.get(id);
    if (known !== undefined) return known;
    if (kind !== undefined) return this.#add(id, new Saying(this, id, kind));
    return CALLS.has(type) ? this.#add(id, new Calling(this, id, item)) : undefined;
  }

  ended(item: JsonObject): void {
    const [id, type] = [string(item, "id") ?? "", string(item, "type")];
    if (type === "mcp_approval_request") new Calling(this, id, item).ask(item);
    else if (type === "image_generation_call") this.#image(id, item);
    else this.#part(item)?.done(item);
    this.#items.delete(id);
  }

  #image(id: string, item: JsonObject): void {
    const result = string(item, "result");
    if (!result) return;
    const mediaType = `image/${string(item, "output_format") ?? "png"}`;
    this.enter(agentOf(id), "said");
    this.emit({ type: "file", url: `data:${mediaType};base64,${result}`, mediaType });
  }

  complain(event: JsonObject): void {
    this.#error = string(event, "message") ?? string(object(event, "error"), "message") ?? this.#error;
  }

  /** Nothing of the answer follows. Not said again to who has it: a position stands behind it. */
  #close(): void {
    const said = this.#out.length;
    if (this.#speaker !== "") {
      this.#speaker = "";
      this.emit({ type: "data-subagent-end", data: null });
    }
    this.#endStep();
    if (this.#sequence <= (this.#options.after ?? -1)) this.#out.length = said;
  }

  #finish(type: string, response: JsonObject): void {
    this.#close();
    this.#progress(true);
    this.#phase = "over";
    if (type === "response.failed") {
      const told = string(object(response, "error"), "message") ?? this.#error;
      this.emit({ type: "error", errorText: told || "The response failed." });
    } else if (string(response, "status") === "cancelled") {
      this.emit({ type: "abort" });
    } else {
      this.emit({ type: "finish", messageMetadata: { tailrace: this.#summary(type, response) } });
    }
  }

  #summary(type: string, response: JsonObject) {
    const counted = usage(response);
    return {
      responseId: this.#responseId,
      finishReason: reason(type, response, this.#handed),
      ...(counted === undefined ? {} : { usage: counted }),
      ...(this.#firstToken === undefined ? {} : { timeToFirstToken: this.#firstToken }),
    };
  }
}

function reason(type: string, response: JsonObject, handed: boolean): FinishReason {
  if (type === "response.completed") return handed ? "tool-calls" : "stop";
  const why = string(object(response, "incomplete_details"), "reason");
  return why === "content_filter" ? "content-filter" : "length";
}

function usage(response: JsonObject): Usage | undefined {
  const told = object(response, "usage");
  const [input, output] = [number(told, "input_tokens"), number(told, "output_tokens")];
  if (input === undefined || output === undefined) return undefined;
  const cached = number(object(told, "input_tokens_details"), "cached_tokens");
  const thought = number(object(told, "output_tokens_details"), "reasoning_tokens");
  return {
    inputTokens: input,
    outputTokens: output,
    totalTokens: number(told, "total_tokens") ?? input + output,
    ...(cached ? { cachedInputTokens: cached } : {}),
    ...(thought ? { reasoningTokens: thought } : {}),
  };
}
