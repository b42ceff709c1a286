/** Ending the run of a simple chat: `stop()` alone only stops reading. */

import { headers, SERVER } from "../../../../../lib/tailrace.ts";

type Context = { params: Promise<{ id: string }> };

export async function POST(_request: Request, { params }: Context): Promise<Response> {
  const { id } = await params;
  const address = `${SERVER}/api/chat/${encodeURIComponent(id)}/cancel`;
  return fetch(address, { method: "POST", headers: headers() });
}
