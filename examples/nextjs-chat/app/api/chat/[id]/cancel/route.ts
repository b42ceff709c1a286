/** Ending a run of a simple chat, the one that `?responseId=` names: `stop()` alone only stops reading. */

import { headers, SERVER } from "../../../../../lib/tailrace.ts";

type Context = { params: Promise<{ id: string }> };

export async function POST(request: Request, { params }: Context): Promise<Response> {
  const { id } = await params;
  const { search } = new URL(request.url);
  const address = `${SERVER}/api/chat/${encodeURIComponent(id)}/cancel${search}`;
  return fetch(address, { method: "POST", headers: headers() });
}
