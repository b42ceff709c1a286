/** How the page asks, in each of the two ways; and where in the stream it is. */

import { DefaultChatTransport } from "ai";
import { lastResponseId, type ChatMessage, type Mode } from "./message.ts";

/** The place in the stream, as the transient `data-streamProgress` parts tell it. */
export interface Place {
  responseId: string;
  sequenceNumber: number;
  terminal: boolean;
}

/**
 * A chat's transport. Where it resumes depends on `place`: from there on, if the page still has what came
 * before, or everything again with a `sequenceNumber` of -1.
 */
export function transport(mode: Mode, id: string, agent: string, place: Place) {
  if (mode === "simple") {
    return new DefaultChatTransport<ChatMessage>({
      api: "/api/chat",
      body: { agent, toolApproval: true },
      resumeStreamIsReplay: false,
      prepareReconnectToStreamRequest: () => ({ api: `/api/chat/${id}/stream?after=${place.sequenceNumber}` }),
    });
  }
  return new DefaultChatTransport<ChatMessage>({
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

/** End the run that the page reads. */
export async function cancel(mode: Mode, id: string, agent: string, place: Place): Promise<void> {
  const simple = mode === "simple";
  await fetch(simple ? `/api/chat/${id}/cancel` : "/api/agent/cancel", {
    method: "POST",
    headers: { "content-type": "application/json" },
    ...(simple ? {} : { body: JSON.stringify({ responseId: place.responseId, workflowId: agent }) }),
  });
}
