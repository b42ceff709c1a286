import Link from "next/link";

export const dynamic = "force-dynamic"; // a new chat for each visit

export default function Home() {
  const id = crypto.randomUUID();
  return (
    <main>
      <h1>tailrace chat</h1>
      <ul>
        <li>
          <Link href={`/simple/${id}`}>Simple</Link>: tailrace's own /api/chat
        </li>
        <li>
          <Link href={`/agent/${id}`}>Agent</Link>: streamText and the translator
        </li>
      </ul>
    </main>
  );
}
