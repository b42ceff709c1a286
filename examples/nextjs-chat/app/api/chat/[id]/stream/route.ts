/** Going on with a simple chat: `useChat` asks here by itself. 204 when nothing runs. */

import { headers, SERVER } from "../../../../../lib/tailrace.ts";

type Context = { params: Promise<{ id: string }> };

export async function GET(request: Request, { params }: Context): Promise<Response> {
  const { id } = await params;
  const { search } = new URL(request.url);
  const address = `${SERVER}/api/chat/${encodeURIComponent(id)}/stream${search}`;
  return fetch(address, { headers: headers(), signal: request.signal });
}
