/** How the page asks, in each of the two ways; and where in the stream it is. */

import { DefaultChatTransport, type UIMessageChunk } from "ai";
import { wholeEvents } from "@tailrace/ai-sdk";
import { lastResponseId, type ChatMessage, type Mode } from "./message.ts";

/** The place in the stream, as the transient `data-streamProgress` parts tell it. */
export interface Place {
  responseId: string;
  sequenceNumber: number;
  terminal: boolean;
}

/** Shows no chunk without its position, so that nothing comes twice after a drop. */
class Transport extends DefaultChatTransport<ChatMessage> {
  protected override processResponseStream(bytes: ReadableStream<Uint8Array>): ReadableStream<UIMessageChunk> {
    return wholeEvents(super.processResponseStream(bytes));
  }
}

/**
 * A chat's transport. Where it resumes depends on `place`: from there on, if the page still has what came
 * before, or everything again with a `sequenceNumber` of -1.
 */
export function transport(mode: Mode, id: string, agent: string, place: Place) {
  if (mode === "simple") {
    return new Transport({
      api: "/api/chat",
      body: { agent, toolApproval: true },
      resumeStreamIsReplay: false,
      prepareReconnectToStreamRequest: () => {
        const from = place.sequenceNumber < 0 ? "" : `&after=${place.sequenceNumber}`;
        return { api: `/api/chat/${id}/stream?responseId=${place.responseId}${from}` };
      },
    });
  }
  return new Transport({
    api: "/api/agent",
    resumeStreamIsReplay: false,
    prepareSendMessagesRequest: ({ messages }) => ({
      body: {
        chatId: id,
        workflowId: agent,
        message: messages.at(-1),
        previousResponseId: lastResponseId(messages),
      },
    }),
    prepareReconnectToStreamRequest: () => {
      const query = new URLSearchParams({
        chatId: id,
        workflowId: agent,
        responseId: place.responseId,
        startingAfter: String(place.sequenceNumber),
      });
      return { api: `/api/agent/resume?${query}` };
    },
  });
}

/** End the run that the page reads: it is named, for a request that is late must not end the next one. */
export async function cancel(mode: Mode, id: string, agent: string, place: Place): Promise<void> {
  const simple = mode === "simple";
  const named = place.responseId === "" ? "" : `?responseId=${place.responseId}`;
  await fetch(simple ? `/api/chat/${id}/cancel${named}` : "/api/agent/cancel", {
    method: "POST",
    headers: { "content-type": "application/json" },
    ...(simple ? {} : { body: JSON.stringify({ responseId: place.responseId, workflowId: agent }) }),
  });
}
