"""Run every client, write the table, say what is wrong; exit status 1 when anything is.

    python -m compat [WORD …]

With words, only the clients whose row holds all of them run, and nothing is written.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from compat.clients import ROOT, Client, clients
from compat.servers import running
from compat.table import page

PAGE = ROOT / "docs" / "compatibility.md"
AT_ONCE = 3
LIMIT_S = 240

Outcome = dict[str, str]


def main(words: Sequence[str]) -> int:
    """Run; returns the exit status."""
    wanted = [client for client in clients() if all(word in client.key for word in words)]
    with running() as base_url, ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda client: _run(client, base_url), wanted))
    outcomes = dict(zip((client.key for client in wanted), found, strict=True))
    if not words:
        PAGE.write_text(page(wanted, outcomes), encoding="utf-8")
    wrong = [line for client in wanted for line in _judge(client, outcomes[client.key])]
    cells = sum(len(outcome) for outcome in found)
    print("\n".join([*wrong, f"{len(wanted)} clients, {cells} cells, {len(wrong)} wrong"]))
    return 1 if wrong else 0


def _run(client: Client, base_url: str) -> Outcome:
    """The reason of each failure, `""` for a pass, by scenario."""
    if client.script.endswith(".mjs"):
        for script in (ROOT / "compat" / "node").glob("*.mjs"):
            shutil.copy(script, client.folder)
    try:
        done = subprocess.run(
            client.command(base_url),
            cwd=client.folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        output, errors = done.stdout, done.stderr
    except (subprocess.TimeoutExpired, OSError) as error:
        output, errors = "", str(error)
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    version = next((line["version"] for line in lines if "version" in line), "none")
    if version != client.version:
        errors = f"it is version {version}: {' '.join(errors.split())[-400:]}"
        return dict.fromkeys(client.asked, errors)
    print(f"ran {client.key}", flush=True)
    return {line["scenario"]: line["reason"] for line in lines if "scenario" in line}


def _judge(client: Client, outcome: Outcome) -> list[str]:
    """What is not as declared."""
    wrong: list[str] = []
    for name in client.asked:
        reason = outcome.get(name, "the script did not report it")
        if reason and name not in client.limits:
            wrong.append(f"{client.key}: {name}: {reason}")
        elif not reason and name in client.limits:
            wrong.append(f"{client.key}: {name} works now; it is declared as a limit")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
