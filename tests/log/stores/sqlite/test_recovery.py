"""A start takes neither the memory nor the time of the data that a crash left, and a flood leaves little to
recover.

Measured in a process of its own, over a tenth of the promised size.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.recovery import ENDED, GIANT, MEGABYTE, fill, measured
from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.events.types import Event
from tailrace.log.stores.sqlite.schema import FILE
from tailrace.log.stores.sqlite.store import SqliteStore
from tailrace.log.stores.sqlite.upkeep import OLD_BYTES, TRIM_BYTES

SIZE = 128 * MEGABYTE


@pytest.mark.parametrize("version", [1, 2])
async def test_a_start_does_not_take_the_memory_of_what_is_in_segments(
    tmp_path: Path, version: int
) -> None:
    """Promised for 1 GB: 300 MB and 3 s. A process that only imports the store has 25 MB."""
    events = fill(tmp_path / "data", SIZE, version=version)
    found = measured(tmp_path / "data")
    assert found["open_mb"] < 60
    assert found["most_mb"] < 90  # all tails have become chunks
    assert found["cpu"] < 1.5, (
        "another run is written and read; a busy machine has other work besides"
    )
    with closing(sqlite3.connect(tmp_path / "data" / FILE)) as connection:
        kept = "SELECT sum(last - first + 1) FROM chunks WHERE run != 'other'"
        assert connection.execute(kept).fetchone() == (events,)
        (left,) = connection.execute("SELECT count(*) FROM segments_1").fetchone()
        assert left == 0
    store = SqliteStore(tmp_path / "data")
    await store.open()
    assert GIANT in await store.log.open_runs()
    assert ENDED not in await store.log.open_runs()
    assert (await store.log.read(GIANT, 5_000))[0].seq == 5_001
    await store.close()


async def test_a_flood_leaves_segments_and_a_write_ahead_log_of_bounded_size(
    tmp_path: Path,
) -> None:
    """Observed: 20 s of an endless reply left 1.2 GB of segments. The upkeep looked at them every 256
    commits, whatever their size, and no checkpoint ran beside a writer that never paused."""
    store = SqliteStore(tmp_path)
    await store.open()
    text = "x" * 40_000
    await store.log.append("quiet", frame([_event(0, "q")]), expected=-1, attempt=1)
    most = wal = 0
    for number in range(500):
        first = number * 10
        events = [_event(first + n, text) for n in range(10)]
        await store.log.append("flood", frame(events), expected=first - 1, attempt=1)
        if number % 25 == 24:
            wal = max(wal, (tmp_path / f"{FILE}-wal").stat().st_size)
            with closing(sqlite3.connect(tmp_path / FILE)) as connection:
                query = "SELECT total(length(frames)) FROM segments"
                most = max(most, int(connection.execute(query).fetchone()[0]))
    assert most < OLD_BYTES + 2 * TRIM_BYTES
    assert wal < 4 * OLD_BYTES
    assert await store.log.read("quiet", -1) == [_event(0, "q")]
    await store.close()


def _event(seq: int, text: str) -> Event:
    return Event(seq, 1, "n", "MAIN", t.TextDelta(0, text))
