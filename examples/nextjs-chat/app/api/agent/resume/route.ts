/**
 * After a drop: `?responseId=…&workflowId=…&startingAfter=N` is what follows event N, live where it still
 * runs. Without `startingAfter` it is all of it, which is what a page that was loaded anew needs.
 */

import { createUIMessageStreamResponse } from "ai";
import { ResumeError, resumeResponse } from "@tailrace/ai-sdk";
import { agentURL, headers } from "../../../../lib/tailrace.ts";

export async function GET(request: Request): Promise<Response> {
  const { searchParams } = new URL(request.url);
  const responseId = searchParams.get("responseId");
  const workflowId = searchParams.get("workflowId");
  const startingAfter = Number(searchParams.get("startingAfter") ?? -1);
  if (!responseId || !workflowId || !Number.isInteger(startingAfter)) {
    return new Response("responseId, workflowId and an integer startingAfter are needed", { status: 400 });
  }
  const conversationId = searchParams.get("chatId");
  try {
    const stream = await resumeResponse({
      baseURL: agentURL(workflowId),
      responseId,
      startingAfter,
      headers: headers(),
      signal: request.signal,
      approvals: true,
      ...(conversationId ? { conversationId } : {}),
    });
    return createUIMessageStreamResponse({ stream });
  } catch (error) {
    if (error instanceof ResumeError) return new Response(error.message, { status: error.status });
    throw error;
  }
}
