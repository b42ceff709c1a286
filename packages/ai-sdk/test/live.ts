/** A real server with the example's agents, which lets in only who has a token. */

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { appendFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../../..");
const PYTHON = process.env["PYTHON"] ?? join(ROOT, ".venv/bin/python");

const INTERVAL_MS = 10;
/** The answer to "long": it takes a few hundred times the interval, so that there is time to leave or to end it. */
export const LONG = Array.from({ length: 300 }, (_, number) => `w${number}`).join(" ");

/** Why there is none, or false. */
export const absent = existsSync(PYTHON) ? false : "there is no Python environment (make test makes it)";

export interface Live {
  url: string;
  token: string;
  headers: Record<string, string>;
  stop(): Promise<void>;
}

export async function live(): Promise<Live> {
  const folder = mkdtempSync(join(tmpdir(), "tailrace-ai-sdk-"));
  cpSync(join(ROOT, "examples/nextjs-chat/server"), folder, { recursive: true });
  const config = join(folder, "tailrace.toml");
  const text = readFileSync(config, "utf8").replace(/^data = .*$/m, 'data = "data"');
  writeFileSync(config, text.replace(/^interval_ms = .*$/m, `interval_ms = ${INTERVAL_MS}`));
  appendFileSync(join(folder, "scenario.toml"), `\n[[replies]]\nwhen = "long"\nsteps = [{ text = "${LONG}" }]\n`);
  const options = { cwd: folder, env: { ...process.env, PYTHONPATH: join(ROOT, "src") } };
  const made = execFileSync(PYTHON, ["-m", "tailrace", "token", "create", "test", "--config", config], options);
  const token = /oat_\S+/.exec(made.toString())?.[0] ?? "";
  const port = await freePort();
  const child = spawn(PYTHON, ["-m", "tailrace", "serve", config, "--port", `${port}`], { ...options, stdio: "ignore" });
  const url = `http://127.0.0.1:${port}`;
  await answering(url, child);
  const stop = async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, token, headers: { authorization: `Bearer ${token}`, "x-oauth-access-token": token }, stop };
}

async function answering(url: string, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 400 && child.exitCode === null; tries += 1) {
    const answer = await fetch(`${url}/v1/models`).catch(() => undefined);
    if (answer !== undefined) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the server does not answer");
}

async function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
