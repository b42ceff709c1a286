import { isToolUIPart, getToolName, type ProviderMetadata } from "ai";

import type { ChatMessage } from "../lib/message.ts";
import { speakers } from "./agents.tsx";

type Answer = (answer: { id: string; approved: boolean }) => unknown;

export function Message({ message, onAnswer }: { message: ChatMessage; onAnswer: Answer }) {
  const whose = speakers(message);
  return (
    <section className={message.role}>
      {message.parts.map((part, number) => {
        const speaker = whose[number];
        return (
          <div key={number} className={speaker ? "subagent" : ""} title={speaker?.name}>
            <Part part={part} onAnswer={onAnswer} />
          </div>
        );
      })}
    </section>
  );
}

/** After a crash of the server the text that was cut off stays, and the same reply comes once more below it. */
function isCutOff(part: { providerMetadata?: ProviderMetadata }): boolean {
  return part.providerMetadata?.tailrace?.status === "incomplete";
}

function Part({ part, onAnswer }: { part: ChatMessage["parts"][number]; onAnswer: Answer }) {
  if (part.type === "text") return <p className={isCutOff(part) ? "cut" : ""}>{part.text}</p>;
  if (part.type === "reasoning") return <p className="reasoning">{part.text}</p>;
  if (part.type === "data-subagent") return <h4>{part.data.name}</h4>;
  if (part.type === "source-url") return <a href={part.url}>{part.title ?? part.url}</a>;
  if (!isToolUIPart(part)) return null;
  const { state } = part;
  return (
    <details>
      <summary>
        {getToolName(part)} ({state})
      </summary>
      <pre>{JSON.stringify("input" in part ? part.input : undefined)}</pre>
      {state === "output-available" && <pre>{String(part.output)}</pre>}
      {state === "output-error" && <pre className="error">{part.errorText}</pre>}
      {state === "approval-requested" && (
        <p>
          <button onClick={() => onAnswer({ id: part.approval.id, approved: true })}>Yes</button>
          <button onClick={() => onAnswer({ id: part.approval.id, approved: false })}>No</button>
        </p>
      )}
    </details>
  );
}
