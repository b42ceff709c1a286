// Generated from src/tailrace/protocols/session_lines/ by scripts/docs.py (`make docs`); do not edit. The events of
// `POST /api/stream`, one a line.

/** The agent begins. */
export interface SessionStart {
  type: "session.start";
  chainId: string;
  depth: number;
  turnIndex: number;
}

/** A turn begins: a reply of the model and the tools that it calls. */
export interface TurnStart {
  type: "turn.start";
  chainId: string;
  depth: number;
  turnIndex: number;
}

/** A message begins. */
export interface MessageStart {
  type: "message.start";
  chainId: string;
  depth: number;
  turnIndex: number;
  message: UserMessage | AssistantMessage | ToolResultMessage;
}

/** A message of the user; `timestamp` in milliseconds since the epoch. */
export interface UserMessage {
  role: "user";
  content: (TextContent | ThinkingContent | ImageContent | ToolCallContent)[];
  timestamp: number;
}

/** Text. */
export interface TextContent {
  type: "text";
  text: string;
}

/** The model's reasoning. */
export interface ThinkingContent {
  type: "thinking";
  thinking: string;
}

/** An image, as base64 data or by URL. */
export interface ImageContent {
  type: "image";
  mimeType: string;
  data: string;
  url: string;
}

/** A call; `arguments` is `{"arguments": "…"}` if the model did not write a JSON object. */
export interface ToolCallContent {
  type: "toolCall";
  id: string;
  name: string;
  arguments: Record<string, unknown>;
}

/** One reply of the model. `provider` is always `tailrace`. */
export interface AssistantMessage {
  role: "assistant";
  content: (TextContent | ThinkingContent | ImageContent | ToolCallContent)[];
  provider: string;
  modelId: string;
  usage: SessionUsage;
  stopReason: "aborted" | "error" | "length" | "stop" | "toolUse";
  timestamp: number;
  errorMessage?: string;
}

/** Tokens; `input_tokens` excludes those read from or written to a cache. */
export interface SessionUsage {
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
  totalTokens: number;
  cost: Cost;
}

/** Costs in the configuration's currency; only the total is known. */
export interface Cost {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  total: number;
}

/** The result of a tool. */
export interface ToolResultMessage {
  role: "toolResult";
  toolCallId: string;
  toolName: string;
  content: (TextContent | ThinkingContent | ImageContent | ToolCallContent)[];
  isError: boolean;
  timestamp: number;
}

/** A piece of the model's message; `delta` is the text it adds to the answer, or empty. */
export interface MessageUpdate {
  type: "message.update";
  chainId: string;
  depth: number;
  turnIndex: number;
  message: PartialMessage;
  event: TextStart | TextDeltaPiece | TextEnd | ThinkingStart | ThinkingDelta | ThinkingEnd | CallStart | CallDelta | CallEnd;
  delta: string;
}

/** The placeholder for a message that streams; its content comes with `message.end`. */
export interface PartialMessage {
  role: "assistant";
  content: (TextContent | ThinkingContent | ImageContent | ToolCallContent)[];
}

/** Text begins. */
export interface TextStart {
  type: "text_start";
  contentIndex: number;
}

/** A piece of text. */
export interface TextDeltaPiece {
  type: "text_delta";
  contentIndex: number;
  delta: string;
}

/** The text is complete. */
export interface TextEnd {
  type: "text_end";
  contentIndex: number;
  content: string;
}

/** Reasoning begins. */
export interface ThinkingStart {
  type: "thinking_start";
  contentIndex: number;
}

/** A piece of reasoning. */
export interface ThinkingDelta {
  type: "thinking_delta";
  contentIndex: number;
  delta: string;
}

/** The reasoning is complete. */
export interface ThinkingEnd {
  type: "thinking_end";
  contentIndex: number;
  content: string;
}

/** A call begins. */
export interface CallStart {
  type: "toolcall_start";
  contentIndex: number;
}

/** A piece of a call's arguments. */
export interface CallDelta {
  type: "toolcall_delta";
  contentIndex: number;
  delta: string;
}

/** The call is complete. */
export interface CallEnd {
  type: "toolcall_end";
  contentIndex: number;
  toolCall: ToolCallContent;
}

/** The message is complete. */
export interface MessageEnd {
  type: "message.end";
  chainId: string;
  depth: number;
  turnIndex: number;
  message: UserMessage | AssistantMessage | ToolResultMessage;
}

/** A tool begins. */
export interface ToolBefore {
  type: "tool.before";
  chainId: string;
  depth: number;
  turnIndex: number;
  toolCallId: string;
  toolName: string;
  args: Record<string, unknown>;
  rawArgs: Record<string, unknown>;
}

/** A progress message of a tool. */
export interface ToolUpdate {
  type: "tool.update";
  chainId: string;
  depth: number;
  turnIndex: number;
  toolCallId: string;
  toolName: string;
  partialResult: Result;
}

/** A tool's result, or a progress message. */
export interface Result {
  content: (TextContent | ThinkingContent | ImageContent | ToolCallContent)[];
  details: unknown;
}

/** A tool has ended. */
export interface ToolAfter {
  type: "tool.after";
  chainId: string;
  depth: number;
  turnIndex: number;
  toolCallId: string;
  toolName: string;
  result: Result;
  isError: boolean;
}

/** The turn has ended. */
export interface TurnComplete {
  type: "turn.complete";
  chainId: string;
  depth: number;
  turnIndex: number;
  message: AssistantMessage;
  toolResults: ToolResultMessage[];
}

/** The agent stops, because it has used its last turn. */
export interface MaxTurnsReached {
  type: "max_turns_reached";
  chainId: string;
  depth: number;
  turnIndex: number;
  turnCount: number;
}

/** A question to the user. */
export interface WaitingForUserInput {
  type: "waiting_for_user_input";
  chainId: string;
  depth: number;
  turnIndex: number;
  toolCallId: string;
  question: string;
  options: string[];
}

/** A call waits for approval. */
export interface PermissionRequest {
  type: "permission_request";
  chainId: string;
  depth: number;
  turnIndex: number;
  toolCallId: string;
  toolName: string;
  reason: string;
}

/** A person approved or rejected a call. */
export interface PermissionResolved {
  type: "permission_resolved";
  chainId: string;
  depth: number;
  turnIndex: number;
  toolCallId: string;
  toolName: string;
  decision: "approved" | "rejected";
}

/** The history was shortened. */
export interface Compaction {
  type: "compaction";
  chainId: string;
  depth: number;
  turnIndex: number;
  messagesBefore: number;
  messagesAfter: number;
}

/** An agent was dispatched. */
export interface SubagentSpawn {
  type: "subagent.spawn";
  chainId: string;
  depth: number;
  turnIndex: number;
  childSessionId: string;
}

/** A dispatched agent has ended. */
export interface SubagentComplete {
  type: "subagent.complete";
  chainId: string;
  depth: number;
  turnIndex: number;
  childSessionId: string;
}

/** The agent has ended: the messages of this run, and its usage. */
export interface SessionEnd {
  type: "session.end";
  chainId: string;
  depth: number;
  turnIndex: number;
  messages: (UserMessage | AssistantMessage | ToolResultMessage)[];
  usage: SessionUsage;
}

export type RuntimeEvent =
  | SessionStart
  | TurnStart
  | MessageStart
  | MessageUpdate
  | MessageEnd
  | ToolBefore
  | ToolUpdate
  | ToolAfter
  | TurnComplete
  | MaxTurnsReached
  | WaitingForUserInput
  | PermissionRequest
  | PermissionResolved
  | Compaction
  | SubagentSpawn
  | SubagentComplete
  | SessionEnd;

/** A skill begins: an agent's `Custom("skill_start", {"skillName", "task"})`. */
export interface SkillStart {
  type: "skill_start";
  skillName: string;
  task: string;
}

/** A skill has ended: an agent's `Custom("skill_end", {"skillName"})`. */
export interface SkillEnd {
  type: "skill_end";
  skillName: string;
}

export type SkillEvent =
  | SkillStart
  | SkillEnd;

/** The history is being shortened. */
export interface ContextCompactionStart {
  type: "context_compaction_start";
}

/** The history has been shortened. */
export interface ContextCompactionEnd {
  type: "context_compaction_end";
}

/** The share of the model's context that the last turn used. */
export interface SessionContextUsage {
  type: "context_usage";
  inputTokens: number;
  outputTokens: number;
  budgetUsedPct: number;
}

/** The run failed; nothing follows. */
export interface Error {
  type: "error";
  error: ErrorDetail;
}

/** An error. */
export interface ErrorDetail {
  message: string;
  code?: string;
}

/** The run begins to use several agents. */
export interface OrchestrationRunStart {
  type: "orchestration_run_start";
  runId: string;
  initialTask: OrchestrationTask;
}

/** The task of a run with several agents. */
export interface OrchestrationTask {
  id: string;
  kind: string;
  input: string;
}

/** An agent was dispatched; `parent_id` is the agent that dispatched it. */
export interface SubagentSpawned {
  type: "subagent_spawned";
  agent: SubagentInfo;
  parentId: string;
}

/** An agent that was dispatched; `created_at` in milliseconds since the epoch. */
export interface SubagentInfo {
  id: string;
  role: string;
  createdAt: number;
  taskId?: string;
  displayName?: string;
}

/** An agent receives its input. */
export interface SubagentMessage {
  type: "subagent_message";
  agentId: string;
  input: Input;
}

/** The input of an agent. */
export interface Input {
  id: string;
  agentId: string;
  payload: string;
}

/** An agent's current action. */
export interface SubagentStatus {
  type: "subagent_status";
  agentId: string;
  status: "closed" | "closing" | "idle" | "running" | "waiting";
}

/** An agent begins to work. */
export interface SubagentJobStarted {
  type: "subagent_job_started";
  agentId: string;
  jobId: string;
  inputIds: string[];
}

/** An agent has completed its work. */
export interface SubagentJobCompleted {
  type: "subagent_job_completed";
  agentId: string;
  job: SubagentJob;
}

/** The result of an agent. */
export interface SubagentJob {
  jobId: string;
  inputIds: string[];
  outcome: "cancelled" | "completed" | "failed" | "timed_out";
  outputText?: string;
  error?: string;
}

/** An agent's work has failed. */
export interface SubagentJobFailed {
  type: "subagent_job_failed";
  agentId: string;
  job: SubagentJob;
}

/** A subagent waits for a person. */
export interface WaitRegistered {
  type: "wait_registered";
  wait: Wait;
}

/** The request for which an agent waits. */
export interface Wait {
  id: string;
  agentId: string;
  kind: string;
  description: string;
}

/** It no longer waits. */
export interface WaitResolved {
  type: "wait_resolved";
  waitId: string;
  resolution: string;
}

/** An agent was closed. */
export interface SubagentClosed {
  type: "subagent_closed";
  agentId: string;
  reason: string;
  finalStatus: "closed";
}

/** The run of several agents has ended. */
export interface OrchestrationRunComplete {
  type: "orchestration_run_complete";
  runId: string;
  status: "completed" | "failed";
  error: string;
}

export type HostEvent =
  | ContextCompactionStart
  | ContextCompactionEnd
  | SessionContextUsage
  | Error
  | OrchestrationRunStart
  | SubagentSpawned
  | SubagentMessage
  | SubagentStatus
  | SubagentJobStarted
  | SubagentJobCompleted
  | SubagentJobFailed
  | WaitRegistered
  | WaitResolved
  | SubagentClosed
  | OrchestrationRunComplete;

export type SessionEvent = RuntimeEvent | SkillEvent | HostEvent;
