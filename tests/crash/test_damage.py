"""One changed bit in a server's data file, as clients see it.

Every surface shows the same bytes as before, or answers 503 and names the run, or cuts its stream; never
another text, never 500, and never without an error.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.support.forks import Forks
from tests.support.servers import ChildServer

SETTINGS = 'data = "data"\nheartbeat_seconds = 0.5'
SEED, FLIPS = 8, int(os.environ.get("TAILRACE_FLIPS", "24"))
REFUSALS = frozenset({401, 404, 503})
"""A key that damage has changed leads to nothing: 404, or 401 for the key of a token."""
WORDS = " ".join(f"word{n}" for n in range(300))

Shown = dict[str, bytes]
"""The bytes that each path returned."""


class Kept:
    """The folder of a stopped server, and the bytes of its runs on all surfaces that can show them again."""

    def __init__(self, base: Path, forks: Forks) -> None:
        self.base = base
        child = ChildServer(base, server=SETTINGS).start(forks=forks)
        with httpx.Client(base_url=child.url, timeout=20) as client:
            self.runs = [_made(client, number) for number in range(4)]
            conversation = client.post("/v1/conversations", json={}).json()["id"]
            for text in ("one", "two"):
                turn = {"model": "echo", "input": text, "conversation": conversation}
                self.runs.append(client.post("/v1/responses", json=turn).json()["id"])
            self.paths = [f"/v1/conversations/{conversation}/items", "/jobs"]
            for response in self.runs:
                job = "job_" + response.removeprefix("resp_").split("_")[0]
                self.paths += [
                    f"/v1/responses/{response}",
                    f"/v1/responses/{response}?stream=true",
                    f"/v1/responses/{response}/input_items",
                    f"/jobs/{job}",
                    f"/jobs/{job}/stream",
                ]
            self.shown: Shown = {path: client.get(path).content for path in self.paths}
        assert child.stop() == -signal.SIGTERM  # after it has written everything
        self.file = base / "data" / "tailrace.db"
        self.whole = self.file.read_bytes()

    def look(self, forks: Forks) -> Mapping[str, httpx.Response | bytes]:
        """The replies of a new server over the folder: a response, or the bytes of one that was cut. Empty
        if the server does not start; it then prints one line with the reason."""
        child = ChildServer(self.base, server=SETTINGS)
        (self.base / "stderr.txt").unlink(missing_ok=True)
        child.start(forks=forks, doomed=True)
        if child.process is None or child.process.poll() is not None:
            assert "tailrace: " in child.errors()
            assert "Traceback" not in child.errors()
            return {}
        try:
            with httpx.Client(base_url=child.url, timeout=15) as client:
                return {path: _got(client, path) for path in self.paths}
        finally:
            child.kill()
            assert "Traceback" not in child.errors()


def _made(client: httpx.Client, number: int) -> str:
    text = f"{number} {WORDS}" if number % 2 else f"{number} short"
    reply = client.post("/v1/responses", json={"model": "echo", "input": text})
    return str(reply.raise_for_status().json()["id"])


def _got(client: httpx.Client, path: str) -> httpx.Response | bytes:
    data = bytearray()
    with client.stream("GET", path) as reply:
        try:
            for piece in reply.iter_raw():
                data += piece
        except httpx.RemoteProtocolError:
            return bytes(data)
    return httpx.Response(reply.status_code, headers=reply.headers, content=bytes(data))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Kept:
    return Kept(tmp_path_factory.mktemp("damage"), forks)


@pytest.fixture(autouse=True)
def _restored(kept: Kept) -> None:
    shutil.rmtree(kept.file.parent)
    kept.file.parent.mkdir(mode=0o700)
    kept.file.write_bytes(kept.whole)


def _flip(file: Path, offset: int, bit: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        byte = opened.read(1)[0]
        opened.seek(offset)
        opened.write(bytes([byte ^ 1 << bit]))


def _is_nothing_else(kept: Kept, path: str, got: httpx.Response | bytes) -> bool:
    if isinstance(got, bytes):
        return kept.shown[path].startswith(_without_heartbeats(got))
    if got.status_code in REFUSALS:
        return True
    if path == "/jobs":  # a run whose record is damaged is not listed
        return got.status_code == 200
    return got.status_code == 200 and got.content == kept.shown[path]


def _without_heartbeats(data: bytes) -> bytes:
    return b"".join(ln for ln in data.splitlines(keepends=True) if not ln.startswith(b":"))


@pytest.mark.timeout(300)
def test_random_bits(kept: Kept, forks: Forks) -> None:
    chance = random.Random(SEED)
    refused = 0
    for _ in range(FLIPS):
        offset, bit = chance.randrange(len(kept.whole)), chance.randrange(8)
        kept.file.write_bytes(kept.whole)
        _flip(kept.file, offset, bit)
        for path, got in kept.look(forks).items():
            assert _is_nothing_else(kept, path, got), (offset, bit, path, got)
            refused += isinstance(got, bytes) or got.status_code != 200
        for name in ("tailrace.db-wal", "tailrace.db-shm"):
            (kept.file.parent / name).unlink(missing_ok=True)
    assert refused


def test_a_damaged_run_is_503_by_name_and_the_others_are_served(kept: Kept, forks: Forks) -> None:
    with closing(sqlite3.connect(kept.file, isolation_level=None)) as connection:
        run = kept.runs[1].removeprefix("resp_").split("_")[0]
        where = "run = ? AND first = (SELECT min(first) FROM chunks WHERE run = ?)"
        other = "CAST(replace(body, 'word7', 'word8') AS BLOB)"
        changed = connection.execute(
            f"UPDATE chunks SET body = {other} WHERE {where}", (run, run)
        ).rowcount
        assert changed == 1
    seen = kept.look(forks)
    for path, got in seen.items():
        assert isinstance(got, httpx.Response)
        if run not in path:
            assert got.status_code == 200, path
            assert got.content == kept.shown[path] or path == "/jobs"
        else:
            assert got.status_code == 503, (path, got.content)
            assert f"run_{run}" in got.text


def test_the_scrub_names_the_run(kept: Kept) -> None:
    def scrub() -> subprocess.CompletedProcess[str]:
        command = ["tailrace", "check", "--data", str(kept.file.parent)]
        program = "from tailrace.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", program, *command[1:]],
            capture_output=True,
            text=True,
            check=False,
        )

    kept.file.chmod(0o600)
    fine = scrub()
    assert (fine.returncode, fine.stdout) == (0, f"{kept.file.parent}: fine\n")
    kept.file.chmod(0o644)
    with closing(sqlite3.connect(kept.file, isolation_level=None)) as connection:
        (run,) = connection.execute("SELECT run FROM chunks").fetchone()
        connection.execute("UPDATE chunks SET last = last + 1 WHERE run = ?", (run,))
        connection.execute("UPDATE records SET value = x'00' WHERE key = ?", (run,))
    found = scrub()
    assert found.returncode == 1
    assert found.stderr == ""
    for words in (f"run {run}: chunks row", f"records row 'runs', '{run}' is damaged", "mode 644"):
        assert words in found.stdout
