import type { Subagent } from "@tailrace/ai-sdk";
import type { ChatMessage } from "../lib/message.ts";

/** Who speaks in each part of a message: the subagent of the last `data-subagent`, until `data-subagent-end`. */
export function speakers(message: ChatMessage | undefined): (Subagent | undefined)[] {
  let speaker: Subagent | undefined;
  return (message?.parts ?? []).map((part) => {
    if (part.type === "data-subagent") speaker = part.data;
    else if (part.type === "data-subagent-end") speaker = undefined;
    return speaker;
  });
}

/** The subagent that is at work now. */
export function AgentPanel({ speaker }: { speaker: Subagent | undefined }) {
  if (speaker === undefined) return null;
  return (
    <aside>
      <b>{speaker.name}</b> is at work
    </aside>
  );
}
