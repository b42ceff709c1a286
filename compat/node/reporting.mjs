// What all Node scripts share: scenarios by name, a JSON line for each, looks at the server's own record.
// Arguments: base URL, names of scenarios, and what the script wants to know. Runs in every client's folder, so it imports nothing but Node.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import net from "node:net";

export const BASE = process.argv[2];
export const API = process.argv[4] ?? "";
export const UNICODE = "Grüße, 世界 👩‍🚀 مرحبا \u2028 \u0085 end";
export const LONG = "word ".repeat(5000).trim();
export const SLOW = "word ".repeat(300).trim();
export const PICTURE =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const CITIES = [{ city: "Oslo" }, { city: "Rome" }];
export const PARAMETERS = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const ANSWER_SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, degrees: { type: "integer" } },
  required: ["city", "degrees"],
  additionalProperties: false,
};
export const ANSWER = { city: "Oslo", degrees: -3 };

const LIMIT_MS = 40_000;

/** Run those scenarios that are asked for; print the client's version, then a line for each. */
export async function main(version, scenarios) {
  process.on("unhandledRejection", () => {}); // a client's loose end; what matters is what it tells
  say({ version });
  for (const scenario of process.argv[3].split(",").filter((name) => name in scenarios)) {
    const run = scenarios[scenario];
    say({ scenario, ...(await outcome(run)) });
  }
  process.exit(0); // some clients keep connections open
}

/** A way to the server that breaks once: the first answer is lost, after the server has begun its run. */
export async function broken() {
  const runs = [];
  const { hostname, port } = new URL(BASE);
  const proxy = net.createServer((client) => {
    const server = net.connect(Number(port), hostname);
    for (const side of [client, server]) side.on("error", () => {});
    client.pipe(server);
    server.once("data", (head) => {
      runs.push(...[...String(head).matchAll(/x-run-id: *(\w+)/gi)].map((found) => found[1]));
      if (runs.length === 1) return client.resetAndDestroy(), server.destroy();
      client.write(head);
      server.pipe(client);
    });
  });
  await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
  const check = () => same([runs.length, new Set(runs).size], [2, 1]);
  const { port: at } = proxy.address();
  return { base: `http://127.0.0.1:${at}`, words: `once more by ${at}`, check };
}

/** The installed version of a package. */
export function versionOf(name) {
  const file = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")).version;
}

async function outcome(run) {
  let timer;
  const hangs = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("it hangs")), LIMIT_MS);
  });
  try {
    await Promise.race([run(), hangs]);
    return { ok: true, reason: "" };
  } catch (error) {
    const place = /(\w+\.mjs:\d+)/.exec(String(error?.stack).replaceAll("reporting.mjs", ""));
    const reason = `${error?.name}: ${error?.message} (${place?.[1] ?? "?"})`;
    return { ok: false, reason: reason.replaceAll(/\s+/g, " ").slice(0, 500) };
  } finally {
    clearTimeout(timer);
  }
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Fails, showing both, unless they are deeply equal. */
export function same(got, wanted) {
  const show = (value) => JSON.stringify(value)?.slice(0, 200);
  assert.deepEqual(got, wanted, `got ${show(got)}, wanted ${show(wanted)}`);
}

export const ok = assert.ok;

/** The error that the call rejects with, whose text must hold `text`. */
export async function rejects(call, text = "") {
  try {
    await call();
  } catch (error) {
    ok(String(error?.message).includes(text), `${text} is not in ${error?.message}`);
    return error;
  }
  throw new Error("no error was raised");
}

/** All that an async iterable yields; into `seen`, so that what came before an error is there. */
export async function all(stream, seen = []) {
  for await (const piece of stream) seen.push(piece);
  return seen;
}

/** What the server's own surface says of a run, by any of its names. */
export async function job(id) {
  const reply = await fetch(`${BASE}/jobs/job_${id.replace(/^[a-z]+[_-]/, "")}`);
  return reply.json();
}

/** Wait until the run has ended as cancelled. */
export async function untilCancelled(id) {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const { status } = await job(id);
    if (!["running", "in_progress", "queued"].includes(status)) return same(status, "cancelled");
    ok(Date.now() < deadline, "the run goes on");
    await new Promise((done) => setTimeout(done, 100));
  }
}
