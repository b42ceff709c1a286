"""The resources of a server, measured from outside (memory, descriptors, threads, tables), and its own
counts."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import aiohttp

from tests.support.servers import ChildServer

TABLES = ("segments", "chunks", "live", "dropped", "records")
MB = 1_000_000
TICKS = os.sysconf("SC_CLK_TCK")

PROGRAM = """
import asyncio, gc, sys
from functools import partial
from tailrace.assembly import instance as assembly
from tailrace.cli import main
from tailrace.http.health import Health
from tailrace.runs import conversations
from tailrace.runs.settings import RunSettings

KEPT = conversations.RETENTION_MS = 180_000
assembly.RunSettings = partial(
    RunSettings, kept_unstored=KEPT, tombstone=KEPT, idempotency=KEPT, retry_window=KEPT
)
vitals = Health.vitals


def more(self):
    counts = {"tasks": len(asyncio.all_tasks()), "objects": sys.getallocatedblocks()}
    return {**vitals(self), **counts}


Health.vitals = more
main()
"""
"""A server that also reports its numbers of tasks and blocks of memory, and that forgets within minutes
what others keep for a day, a week or a month: otherwise memory would grow during the whole measurement."""

Sample = dict[str, float]


async def sample(session: aiohttp.ClientSession, child: ChildServer, data: Path) -> Sample:
    """Take one sample."""
    assert child.process is not None
    found = {**_process(child.process.pid), **_tables(data)}
    async with session.get(f"{child.url}/healthz") as reply:
        said = await reply.json()
    return {**found, **{name: said[name] for name in ("tasks", "objects", "loop_lag_ms")}}


def _process(pid: int) -> Sample:
    place = Path("/proc") / str(pid)
    lines = (line.split() for line in (place / "status").read_text(encoding="ascii").splitlines())
    status = {words[0]: words[1] for words in lines if len(words) > 1}
    times = (place / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return {
        "rss_mb": int(status["VmRSS:"]) * 1024 / MB,
        "threads": int(status["Threads:"]),
        "descriptors": len(list((place / "fd").iterdir())),
        "cpu_seconds": (int(times[11]) + int(times[12])) / TICKS,
    }


def _tables(data: Path) -> Sample:
    file = data / "tailrace.db"
    found: Sample = {"db_mb": file.stat().st_size / MB}
    found["wal_mb"] = (data / "tailrace.db-wal").stat().st_size / MB
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as connection:
        for table in TABLES:
            count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            found[table] = count[0]
    return found
