/** A real server with the example's agents, which lets in only who has a token. */

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { appendFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
  const child = spawn(PYTHON, ["-m", "tailrace", "serve", config, "--port", "0"], {
    ...options,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const url = await address(child);
  const stop = async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, token, headers: { authorization: `Bearer ${token}`, "x-oauth-access-token": token }, stop };
}

/** Where it serves, which it says once it listens. What it says later is read too, or it could not say it. */
async function address(child: ChildProcess): Promise<string> {
  let said = "";
  return new Promise((resolve, reject) => {
    child.stderr?.on("data", (piece) => {
      said += String(piece);
      const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(said) ?? [];
      if (url !== undefined) resolve(url);
    });
    child.once("exit", () => reject(new Error(`the server ended: ${said}`)));
  });
}
