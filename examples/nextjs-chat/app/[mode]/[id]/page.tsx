import { notFound } from "next/navigation";

import { Chat } from "../../../components/chat.tsx";
import { load } from "../../../lib/store.ts";

const AGENTS = { simple: "desk", agent: "7" };

export const dynamic = "force-dynamic"; // the chat as it is stored now

export default async function Page({ params }: { params: Promise<{ mode: string; id: string }> }) {
  const { mode, id } = await params;
  if (mode !== "simple" && mode !== "agent") notFound();
  return <Chat mode={mode} id={id} agent={AGENTS[mode]} stored={await load(id)} />;
}
