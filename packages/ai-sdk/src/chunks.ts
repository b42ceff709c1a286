/**
 * What comes out: the UI message chunks that AI SDK 5.0.0 to 7 all read, with no field that one of them refuses.
 *
 * The earliest of each generation end the chat at a field they do not know. So why a reply ended and what it
 * cost ride in `messageMetadata`, and that a text was cut off in `providerMetadata`, under `tailrace`.
 */

import type { AgentEntry, AgentKind } from "./agents.ts";
import type { Json } from "./json.ts";

export type FinishReason = "stop" | "length" | "content-filter" | "tool-calls";

/** Tokens by the names of the AI SDK's `LanguageModelUsage`. */
export interface Usage {
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
  cachedInputTokens?: number;
  reasoningTokens?: number;
}

/** `finish.messageMetadata.tailrace`. */
export interface Finish {
  responseId: string;
  finishReason: FinishReason;
  usage?: Usage;
  /** Milliseconds from the start to the first text or reasoning. */
  timeToFirstToken?: number;
}

/** `data-subagent`: `id` and `agentId` are the same, for readers of either. */
export interface Subagent {
  id: string;
  agentId: string;
  name: string;
  kind: AgentKind;
  parentId: string | null;
  dispatchedByToolCallId: string | null;
}

export interface ToolInvocation {
  id: string;
  name: string;
  args: Json;
}

/** `data-approval`: `id` is what an `mcp_approval_response` names. */
export interface Approval extends ToolInvocation {
  toolCallId: string;
}

/** `data-streamProgress`: the place in the Responses stream; `sequenceNumber` is what resuming takes. */
export interface StreamProgress {
  responseId: string;
  sequenceNumber: number;
  terminal: boolean;
}

/** Of a tool that runs on the server: no client tries to run it. */
export interface ServerRun {
  providerExecuted?: true;
  dynamic?: true;
}

type CutOff = { providerMetadata?: { tailrace: { status: "incomplete" } } };

export type UiChunk =
  | { type: "start"; messageId?: string }
  | { type: "start-step" }
  | { type: "finish-step" }
  | { type: "finish"; messageMetadata: { tailrace: Finish } }
  | { type: "abort" }
  | { type: "error"; errorText: string }
  | { type: "text-start" | "reasoning-start"; id: string }
  | { type: "text-delta" | "reasoning-delta"; id: string; delta: string }
  | ({ type: "text-end" | "reasoning-end"; id: string } & CutOff)
  | ({ type: "tool-input-start"; toolCallId: string; toolName: string } & ServerRun)
  | { type: "tool-input-delta"; toolCallId: string; inputTextDelta: string }
  | ({ type: "tool-input-available"; toolCallId: string; toolName: string; input: Json } & ServerRun)
  | ({ type: "tool-output-available"; toolCallId: string; output: Json } & ServerRun)
  | ({ type: "tool-output-error"; toolCallId: string; errorText: string } & ServerRun)
  | { type: "tool-approval-request"; approvalId: string; toolCallId: string }
  | { type: "source-url"; sourceId: string; url: string; title?: string }
  | { type: "file"; url: string; mediaType: string }
  | { type: "data-conversationId"; data: string; transient: true }
  | { type: "data-agentRegistry"; data: AgentEntry[]; transient: true }
  | { type: "data-streamProgress"; data: StreamProgress; transient: true }
  | { type: "data-subagent"; data: Subagent }
  | { type: "data-subagent-end"; data: null }
  | { type: "data-toolCall"; data: ToolInvocation }
  | { type: "data-approval"; data: Approval };

/** The data parts by their names, for `UIMessage<Metadata, TailraceData>`. */
export type TailraceData = {
  conversationId: string;
  agentRegistry: AgentEntry[];
  streamProgress: StreamProgress;
  subagent: Subagent;
  "subagent-end": null;
  toolCall: ToolInvocation;
  approval: Approval;
};
