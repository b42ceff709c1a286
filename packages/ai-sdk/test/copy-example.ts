/** The routes of examples/nextjs-chat, copied to where they find this package's dependencies, to be run and checked. */

import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";

const FROM = join(import.meta.dirname, "../../../examples/nextjs-chat");
const TO = join(import.meta.dirname, "../.example");

rmSync(TO, { recursive: true, force: true });
for (const folder of ["lib", "app/api"]) cpSync(join(FROM, folder), join(TO, folder), { recursive: true });
