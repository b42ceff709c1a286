"""What does a start cost after a crash in a flood? `python -m benchmarks.recovery [megabytes]`

Writes a data folder as a crash leaves it that prevented all tidying: every frame is in a segment only. Half
of the bytes are one open run's, a quarter one ended run's, the rest many open runs'. Then a process opens the
store: seconds until it is open, and until another run was written and read; resident memory at both moments
and at its highest while the tails become chunks behind that. As this version writes, and as version 1 did.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from tailrace.events import types as t
from tailrace.events.stored import SCHEMA, Frame, frame
from tailrace.events.types import Event
from tailrace.log.stores.sqlite import segments
from tailrace.log.stores.sqlite.schema import FILE, MIGRATIONS
from tailrace.log.stores.sqlite.store import SqliteStore

MEGABYTE = 1_048_576
FRAME_EVENTS = 64
TEXT = 4_000
MANY = 200
SEGMENT_FRAMES = 8
GIANT, ENDED = "giantopen", "giantended"


def fill(folder: Path, size: int, *, version: int) -> int:
    """A folder with segments of so many bytes; returns how many events are in them."""
    folder.mkdir()
    events = 0
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(";".join(MIGRATIONS[:version]))
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("BEGIN")
        cursor = connection.cursor()
        batch: list[tuple[str, Frame]] = []
        for number, each in enumerate(_frames(size)):
            batch.append(each)
            events += len(each[1].events)
            if len(batch) == SEGMENT_FRAMES:
                _write(cursor, number, batch, version)
                batch = []
        _write(cursor, number + 1, batch, version)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return events


def _frames(size: int) -> Iterator[tuple[str, Frame]]:
    """Frames of all runs until there are so many bytes."""
    last: dict[str, int] = {}
    done = number = 0
    while done < size:
        run = (GIANT, ENDED, GIANT, f"many{number // 4 % MANY:03}")[number % 4]
        made = _frame(last.get(run, -1) + 1)
        last[run] = made.last
        done += len(made.body)
        number += 1
        yield run, made
    yield ENDED, frame([Event(last[ENDED] + 1, 1, "", "", t.RunCompleted())])


def _frame(first: int) -> Frame:
    text = "x" * TEXT
    return frame(
        [Event(first + n, 1, "main", "MAIN", t.TextDelta(0, text)) for n in range(FRAME_EVENTS)]
    )


def _write(
    cursor: sqlite3.Cursor, number: int, batch: list[tuple[str, Frame]], version: int
) -> None:
    if version == 1:
        rows = [
            (run, 1, each.first, each.last, each.ends, SCHEMA, each.body) for run, each in batch
        ]
        cursor.execute("INSERT INTO segments VALUES (?, ?)", (number, msgspec.msgpack.encode(rows)))
        return
    heads = [
        segments.head(run, 1, each.body, first=each.first, last=each.last, ends=each.ends)
        for run, each in batch
    ]
    segments.write(cursor, number, heads, [each.body for _, each in batch])


async def start(folder: Path) -> dict[str, float]:
    """Open a store and write and read one run; then close it, which makes chunks of all tails."""
    begun = time.perf_counter()
    store = SqliteStore(folder)
    await store.open()
    opened, memory = time.perf_counter() - begun, _resident()
    assert set(await store.log.open_runs()) >= {GIANT, "many000"}
    other = frame([Event(0, 1, "", "", t.RunCompleted())])
    await store.log.append("other", other, expected=-1, attempt=1)
    assert await store.log.read("other", -1)
    used, worked, at_use = time.perf_counter() - begun, time.process_time(), _resident()
    await store.close()
    return {
        "open": opened,
        "open_mb": memory,
        "used": used,
        "cpu": worked,
        "used_mb": at_use,
        "tidied": time.perf_counter() - begun,
        "most_mb": _highest(),
    }


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / MEGABYTE


def _highest() -> float:
    """The kernel's mark of this very program: `ru_maxrss` has that of the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def measured(folder: Path) -> dict[str, float]:
    """`start` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.recovery", "--start", str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(said)
    return found


def main() -> Iterator[str]:
    """The table's rows."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1_024
    for version in (2, 1):
        with tempfile.TemporaryDirectory() as base:
            fill(Path(base) / "data", size * MEGABYTE, version=version)
            found = measured(Path(base) / "data")
        yield (
            f"| start over {size} MB of segments of version {version} | open {found['open']:.2f} s, "
            f"{found['open_mb']:.0f} MB; another run written and read after {found['used']:.2f} s; "
            f"tidied after {found['tidied']:.1f} s, {found['most_mb']:.0f} MB at most | | |"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--start"]:
        sys.stdout.write(json.dumps(asyncio.run(start(Path(sys.argv[2])))))
    else:
        for row in main():
            print(row, flush=True)
