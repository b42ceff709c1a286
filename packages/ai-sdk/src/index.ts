/** `@tailrace/ai-sdk`: a raw Responses stream of a tailrace agent, as AI SDK UI message chunks. */

export { EXTENSION_KEY, MAIN, findAgent, itemPlace, parseRegistry } from "./agents.ts";
export type { AgentEntry, AgentKind, Registry } from "./agents.ts";
export type {
  Approval,
  Finish,
  FinishReason,
  StreamProgress,
  Subagent,
  TailraceData,
  ToolInvocation,
  UiChunk,
  Usage,
} from "./chunks.ts";
export { drain } from "./drain.ts";
export type { Drained } from "./drain.ts";
export type { Json, JsonObject } from "./json.ts";
export { ResumeError, resumeResponse } from "./resume.ts";
export type { ResumeOptions } from "./resume.ts";
export { SseReader } from "./sse.ts";
export { translateRawParts, translateResponseStream } from "./streams.ts";
export { Translator } from "./translator.ts";
export type { TranslatorOptions } from "./translator.ts";
export { wholeEvents } from "./whole.ts";
