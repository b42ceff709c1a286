"""Drive Codex and Claude Code through tailrace, over a stand-in for a model server of each dialect.

    npm install --prefix .clients/coding @openai/codex @anthropic-ai/claude-code
    (cd .clients/coding/node_modules/@anthropic-ai/claude-code && node install.cjs)
    python -m compat.coding [WORD …]

Each client goes through what `plan.py` says: two commands side by side, a subagent, a tool of an MCP server;
over a model that is served as it is, and over an agent that hands the client's tools over. One that is not
installed is skipped, and said so; with words, only those whose row holds all of them run. Whatever one of the
three says that is no success is a fault: the client, tailrace's log, the stand-in, which refuses what servers
of its dialect refuse. `CODING_CLIENTS` names another folder than `.clients/coding`, `CODING_KEEP` one for all
that was said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from compat.clients import ROOT
from compat.coding.model_server import model_server
from compat.coding.plan import DONE, MAIN, REPORT
from compat.servers import MCP_SERVER, served

PACKAGES = Path(os.environ.get("CODING_CLIENTS", ROOT / ".clients" / "coding"))
NAMES = {
    # Codex knows by a model's name which tools it has: plain ones, a search for the others, one for scripts.
    "codex": ("m", "gpt-5.5", "gpt-6.2-sol"),
    "claude": ("m", "claude-opus-5-5"),
}
DIALECTS = ("chat", "responses", "messages")
LIMIT_S = 120
PROMPT = f"{MAIN} Do all four."
BANNER = 4
"""Lines that a server says of itself as it starts: where it is, its agent, its models."""
NOISE = (
    "Reading additional input from stdin",
    "could not create PATH aliases",  # Codex, of a home below the folder for what is temporary
    "Model metadata for",  # Codex, of models that are not OpenAI's
    "[claude-code:unrecognized_model]",
)
SEEN = ("one", "two", "below", REPORT, "hello")
"""What the model must have been told: the commands' outputs, the subagent's, the MCP server's."""


@dataclass(frozen=True)
class Row:
    """One session: which client, what it calls its model, what that is here, what its server speaks."""

    client: str
    model: str
    kind: str
    dialect: str

    @property
    def key(self) -> str:
        """How it is named."""
        return f"{self.client} {self.model} {self.kind} {self.dialect}"


def main(words: Sequence[str]) -> int:
    """Run; returns the exit status."""
    wrong = 0
    for row in _rows():
        if not all(word in row.key.split() for word in words):
            continue
        if not (PACKAGES / "node_modules" / ".bin" / row.client).exists():
            print(f"skipped {row.key}: not installed in {PACKAGES}")
            continue
        faults = _faults(row)
        wrong += bool(faults)
        print(*[f"{'wrong' if faults else 'ok'} {row.key}", *faults], sep="\n  ", flush=True)
    return 1 if wrong else 0


def _rows() -> Iterator[Row]:
    for client, names in NAMES.items():
        for name, kind, dialect in product(names, ("gateway", "agent"), DIALECTS):
            yield Row(client, name, kind, dialect)


def _faults(row: Row) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="tailrace-coding-") as name, model_server() as models:
        folder = Path(name)
        (folder / "tailrace.toml").write_text(_config(row, models.url), encoding="utf-8")
        with served(folder) as url:
            done = _session(row, url, folder)
        log = (folder / "stderr.txt").read_text(encoding="utf-8")
        told = json.dumps(models.asked, ensure_ascii=False)
        _keep(row, {"stdout": done.stdout, "stderr": done.stderr, "log": log, "asked": told})
        return [
            *_faults_of_client(done),
            *(f"model server: {fault}" for fault in models.refused),
            *(f"tailrace: {line}" for line in log.splitlines()[BANNER:] if " INFO " not in line),
            *(f"the model never heard {word}" for word in SEEN if word not in told),
        ]


def _keep(row: Row, said: Mapping[str, str]) -> None:
    if folder := os.environ.get("CODING_KEEP"):
        for what, text in said.items():
            path = Path(folder) / f"{row.key.replace(' ', '-')}.{what}"
            path.write_text(text, encoding="utf-8")


def _config(row: Row, url: str) -> str:
    """The client's model is a model here, or an agent over one."""
    model, agent = (row.model, "other") if row.kind == "gateway" else ("other", row.model)
    return f"""
[server]

[models."{model}"]
dialect = "{row.dialect}"
base_url = "{url}"
model = "m"

[models.echo]
dialect = "echo"

[agents."{agent}"]
model = "{model}"
instructions = "You help."
"""


def _session(row: Row, url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    command = _codex if row.client == "codex" else _claude
    arguments, environment = command(row.model, url, home)
    return subprocess.run(
        [str(PACKAGES / "node_modules" / ".bin" / row.client), *arguments],
        cwd=work,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def _codex(model: str, url: str, home: Path) -> tuple[list[str], dict[str, str]]:
    config = f"""
model = "{model}"
model_provider = "tailrace"
check_for_update_on_startup = false
[model_providers.tailrace]
name = "tailrace"
base_url = "{url}/v1"
env_key = "TAILRACE_KEY"
wire_api = "responses"
[mcp_servers.helper]
command = "{sys.executable}"
args = ["{MCP_SERVER}", "{home / "notes"}"]
required = true
"""
    (home / "config.toml").write_text(config, encoding="utf-8")
    arguments = ["exec", "--json", "--skip-git-repo-check"]
    arguments += ["--dangerously-bypass-approvals-and-sandbox", PROMPT]
    return arguments, {"CODEX_HOME": str(home), "TAILRACE_KEY": "unused"}


def _claude(model: str, url: str, home: Path) -> tuple[list[str], dict[str, str]]:
    helper = {"command": sys.executable, "args": [str(MCP_SERVER), str(home / "notes")]}
    servers = json.dumps({"mcpServers": {"helper": helper}})
    arguments = ["-p", PROMPT, "--output-format", "stream-json", "--verbose"]
    arguments += ["--dangerously-skip-permissions", "--strict-mcp-config", "--mcp-config", servers]
    return arguments, {
        "IS_SANDBOX": "1",  # it refuses to skip permissions for root elsewhere
        "CLAUDE_CONFIG_DIR": str(home),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": "unused",
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_SMALL_FAST_MODEL": model,
    }


def _faults_of_client(done: subprocess.CompletedProcess[str]) -> Iterator[str]:
    if done.returncode:
        yield f"exit status {done.returncode}"
    if DONE not in done.stdout:
        yield f"it did not say that it is done: {done.stdout[-600:]}"
    for text in (*done.stdout.splitlines(), *done.stderr.splitlines()):
        if _is_bad(text) and not any(words in text for words in NOISE):
            yield f"client: {text[:600]}"


def _is_bad(line: str) -> bool:
    """Lines that are no JSON are warnings; a value says what it is by these fields, wherever it has them."""
    try:
        told = json.loads(line)
    except ValueError:
        return bool(line.strip())
    return any(_bad_field(key, value) for key, value in _fields(told))


def _bad_field(key: str, value: object) -> bool:
    match key:
        case "error" | "is_error" | "errors" | "permission_denials":
            return bool(value)
        case "type" | "subtype":
            return isinstance(value, str) and ("error" in value or "retry" in value)
        case "status":
            return value in ("failed", "error", "declined")
        case _:
            return False


def _fields(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from value.items()
    for below in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _fields(below)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
