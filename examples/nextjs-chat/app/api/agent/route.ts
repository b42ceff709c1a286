/**
 * The other way: `streamText` with the OpenAI provider's Responses model, pointed at one agent.
 *
 * Raw chunks carry what the SDK does not model (who speaks, where the stream is); the translator makes the UI
 * stream of them. One branch goes to the page, the other is stored at its own pace.
 */

import { createUIMessageStreamResponse, streamText } from "ai";
import { translateRawParts } from "@tailrace/ai-sdk";
import { agentProvider } from "../../../lib/tailrace.ts";
import { textOf, type ChatMessage } from "../../../lib/message.ts";
import { change, keep, put } from "../../../lib/store.ts";

interface Asked {
  chatId: string;
  workflowId: string;
  message: ChatMessage;
  /** The response that this turn continues; the server has the conversation up to there. */
  previousResponseId?: string;
}

export async function POST(request: Request): Promise<Response> {
  const { chatId, workflowId, message, previousResponseId } = (await request.json()) as Asked;
  await change(chatId, (chat) => put(chat, message));
  const result = streamText({
    model: agentProvider(workflowId).responses("agent"),
    prompt: textOf(message),
    ...(previousResponseId ? { providerOptions: { openai: { previousResponseId } } } : {}),
    includeRawChunks: true,
    maxRetries: 0, // a request that is sent again is another run
    onError: () => {}, // the stream tells it
  });
  const stream = translateRawParts(result.stream, { conversationId: chatId, approvals: true });
  const [forPage, forStore] = stream.tee();
  void keep(chatId, forStore);
  return createUIMessageStreamResponse({ stream: forPage });
}
