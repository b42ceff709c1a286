/** A checkout as it comes, with nothing built: an application that depends on the folder can import the package. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const PACKAGE = join(import.meta.dirname, "..");
const MADE = /(node_modules|dist|\.example)$/;

test("an application installs it from the folder", (t) => {
  const root = mkdtempSync(join(tmpdir(), "tailrace-install-"));
  t.after(() => rmSync(root, { recursive: true }));
  const ours = join(root, "ai-sdk");
  cpSync(PACKAGE, ours, { recursive: true, filter: (path) => !MADE.test(path) });
  symlinkSync(join(PACKAGE, "node_modules"), join(ours, "node_modules"));
  writeFileSync(join(root, "package.json"), '{"dependencies":{"@tailrace/ai-sdk":"file:./ai-sdk"}}');
  execFileSync("npm", ["install", "--offline", "--silent", "--install-links=true"], { cwd: root });
  const code = 'import { drain } from "@tailrace/ai-sdk"; console.log(typeof drain)';
  const said = execFileSync("node", ["--input-type=module", "-e", code], { cwd: root, encoding: "utf8" });
  assert.equal(said.trim(), "function");
});
