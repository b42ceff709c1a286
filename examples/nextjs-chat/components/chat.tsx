"use client";

import { useChat } from "@ai-sdk/react";
import { useMemo, useRef, useState } from "react";

import { cancel, transport, type Place } from "../lib/client.ts";
import type { Mode, StoredChat } from "../lib/message.ts";
import { AgentPanel, speakers } from "./agents.tsx";
import { Message } from "./message.tsx";

const TRIES = 5;

export function Chat({ mode, id, agent, stored }: { mode: Mode; id: string; agent: string; stored: StoredChat }) {
  const place = useRef<Place>({ responseId: stored.running ?? "", sequenceNumber: -1, terminal: false });
  const tries = useRef(0);
  const [input, setInput] = useState("");
  const ways = useMemo(() => transport(mode, id, agent, place.current), [mode, id, agent]);

  const { messages, sendMessage, status, stop, resumeStream, error, addToolApprovalResponse } = useChat({
    id,
    messages: stored.messages,
    transport: ways,
    resume: stored.running !== undefined, // an answer was being made when this page was loaded
    onData: (part) => {
      if (part.type !== "data-streamProgress") return;
      Object.assign(place.current, part.data);
      tries.current = 0;
    },
    onFinish: ({ isDisconnect, isError }) => {
      // the SDK keeps what it has after a broken connection only; after any other error it begins anew
      if (isError && !isDisconnect) place.current.sequenceNumber = -1;
    },
    onError: () => {
      // a drop, or one more try that failed since the server is not back yet, which only this callback is told
      if (place.current.responseId === "" || tries.current >= TRIES) return;
      tries.current += 1;
      setTimeout(() => void (place.current.terminal || resumeStream()), 500 * tries.current);
    },
  });

  const busy = status === "submitted" || status === "streaming";
  const send = () => {
    if (input.trim() === "") return;
    Object.assign(place.current, { responseId: "", sequenceNumber: -1, terminal: false });
    void sendMessage({ text: input });
    setInput("");
  };

  return (
    <main>
      <AgentPanel speaker={busy ? speakers(messages.at(-1)).at(-1) : undefined} />
      {messages.map((message) => (
        <Message key={message.id} message={message} onAnswer={addToolApprovalResponse} />
      ))}
      {error && <p className="error">{error.message}</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <input value={input} onChange={(event) => setInput(event.target.value)} placeholder="trial period? count! break?" />
        <button type="submit" disabled={busy}>
          Send
        </button>
        <button
          type="button"
          disabled={!busy}
          onClick={() => void cancel(mode, id, agent, place.current).then(stop)}
        >
          Stop
        </button>
      </form>
    </main>
  );
}
