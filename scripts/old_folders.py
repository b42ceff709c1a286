"""Makes data folders with the versions that this repository has had.

    python -m scripts.old_folders INTO [COMMIT…]

For each commit (every tenth since the first that wrote a folder, if none is given) its own source serves a
run that ends, one in a conversation, one with an idempotency key, one that waits for a yes, and one that is
killed in its middle; a token is made afterwards. What is in the file is written to `INTO` as SQL, with what
that version showed as comments above it; of commits whose files have the same shape the first one alone. What
a version did not have yet is left out. `tests/log/test_old_folders.py` opens each of them.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FIRST = "c0d40588"
"""The first commit that wrote a data folder."""
STEP = 10
SERVE = "from tailrace.cli import main; main()"
CONFIG = """
[models.echo]
dialect = "echo"
[models.slow]
dialect = "echo"
interval_ms = 200
[models.script]
dialect = "script"
scenario = "scenario.toml"
"""
ASKER = """
[agents.asker]
model = "script"
tools = ["old_tools:order"]
approve = ["order"]
"""
SCENARIO = """
[[replies]]
when = "buy"
steps = [{ text = "I order. " }, { call = "order", arguments = { what = "hat" } }]
[[replies]]
when = "buy"
steps = [{ text = "All is done." }]
"""
TOOLS = 'def order(what: str) -> dict[str, str]:\n    """Order a thing."""\n    return {"ordered": what}\n'
KEY = {"idempotency-key": "the same again"}
ONCE = {"model": "echo", "input": "once only"}


class Old:
    """A server of another version over a folder of its own."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONSAFEPATH": "1"}
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            self.port = int(place.getsockname()[1])
        (folder / "scenario.toml").write_text(SCENARIO, encoding="utf-8")
        (folder / "old_tools.py").write_text(TOOLS, encoding="utf-8")
        for config in (CONFIG + ASKER, CONFIG):
            (folder / "tailrace.toml").write_text(config, encoding="utf-8")
            if self.run("check").returncode == 0:
                break

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of its commands."""
        command = [sys.executable, "-c", SERVE, *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Serve, and wait until it answers."""
        command = [sys.executable, "-c", SERVE, "serve", "tailrace.toml", "--port", str(self.port)]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            with suppress(OSError):
                self.ask("GET", "/v1/models")
                return process
            time.sleep(0.1)
        process.kill()
        raise SystemExit("it does not answer")

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """A request and its answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            data = json.dumps(body) if body is not None else None
            given = {"content-type": "application/json", **(headers or {})}
            connection.request(method, path, data, given)
            reply = connection.getresponse()
            return reply.status, reply.read()


def made(source: Path, folder: Path) -> dict[str, Any]:
    """Fill a folder; returns what its version showed."""
    old = Old(source, folder)
    process = old.start()
    shown: dict[str, Any] = {}
    try:
        shown["ended"] = _id(
            old.ask("POST", "/v1/responses", {"model": "echo", "input": "one two"})
        )
        shown["once"] = _id(old.ask("POST", "/v1/responses", ONCE, KEY))
        status, body = old.ask("POST", "/v1/conversations", {})
        if status == 200:
            name = shown["conversation"] = json.loads(body)["id"]
            turn = {"model": "echo", "input": "in a row", "conversation": name}
            shown["turn"] = _id(old.ask("POST", "/v1/responses", turn))
        for each in ("ended", "once", "turn"):
            if each in shown:
                _, body = old.ask("GET", f"/v1/responses/{shown[each]}")
                shown[f"{each} shown"] = body.decode()
        status, body = old.ask("POST", "/jobs", {"agent": "asker", "input": "buy"})
        if status < 300:
            shown["waiting"] = _job(body)
            _until(old, shown["waiting"], "waiting")
        words = " ".join(map(str, range(60)))
        shown["open"] = _job(old.ask("POST", "/jobs", {"agent": "slow", "input": words})[1])
        time.sleep(1.0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    token = old.run("token", "create", "old")
    if token.returncode == 0:
        shown["token"] = token.stdout.strip()
    return shown


def _id(answer: tuple[int, bytes]) -> str:
    status, body = answer
    assert status == 200, body
    return str(json.loads(body)["id"])


def _job(body: bytes) -> str:
    said = json.loads(body)
    return str(said.get("job_id") or said.get("id") or said["job"])


def _until(old: Old, job: str, status: str) -> None:
    for _ in range(100):
        if status in json.dumps(json.loads(old.ask("GET", f"/jobs/{job}")[1])):
            return
        time.sleep(0.1)
    raise SystemExit(f"{job} is not {status}")


def dump(folder: Path, shown: dict[str, Any]) -> str:
    """The file as SQL."""
    (file,) = folder.rglob("tailrace.db")
    with closing(sqlite3.connect(file)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        lines = [f"-- {name}: {json.dumps(value)}" for name, value in shown.items()]
        return "\n".join([*lines, f"PRAGMA user_version = {version};", *connection.iterdump()])


def shape(text: str) -> str:
    """The same for two dumps that differ in nothing but ids, numbers and times."""
    tables = sorted(line for line in text.splitlines() if line.startswith(("CREATE", "PRAGMA")))
    blobs = [bytes.fromhex(each) for each in re.findall(r"X'([0-9A-F]*)'", text)]
    names = sorted(set(re.findall(rb'"[a-z_.]+"', b" ".join(blobs))))
    shown = sorted(re.findall(r"^-- ([a-z ]+):", text, re.MULTILINE))
    return hashlib.sha256(repr((tables, names, shown)).encode()).hexdigest()


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def _commits() -> list[str]:
    listed = _git("rev-list", "--reverse", f"{FIRST}^..HEAD").split()
    return listed[::STEP]


def main() -> None:
    """Write the dumps."""
    into = Path(sys.argv[1])
    into.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    for number, commit in enumerate(sys.argv[2:] or _commits()):
        with tempfile.TemporaryDirectory() as base:
            archive = subprocess.run(
                ["git", "archive", commit, "src"], cwd=ROOT, capture_output=True, check=True
            )
            subprocess.run(["tar", "-x", "-C", base], input=archive.stdout, check=True)
            folder = Path(base) / "folder"
            folder.mkdir()
            shown = made(Path(base) / "src", folder)
            text = dump(folder, shown)
        known = shape(text)
        print(
            commit[:8], ", ".join(shown), len(text), "known" if known in seen else "NEW", flush=True
        )
        if known not in seen:
            seen.add(known)
            (into / f"{number:02}-{commit[:8]}.sql").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
