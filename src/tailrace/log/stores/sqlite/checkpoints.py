"""Copying the write-ahead log back into the file, in a thread of its own, beside the commits.

A checkpoint inside a commit stalls it for 11 ms. The first pass does not block writers and copies nearly
everything; the second blocks them while it copies the rest, and then lets them start at the beginning of the
log again. The log's file is kept: overwriting it costs half of extending it. A writer that never pauses lets
no second pass run, so when the log has become large the pass takes the writer's turn.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing, nullcontext, suppress
from pathlib import Path

from tailrace.log.stores.sqlite.schema import FILE, connect

CHECKPOINT_BYTES = 8_388_608
"""Bytes written since the last checkpoint, as the writer counts; on disk it is about twice as much."""
WAL_BYTES = 67_108_864
"""Size beyond which the file of the log is emptied; it takes a burst, or a reader that does not end."""
BUSY_MS = 50
"""Time limit of the second pass, because writers wait meanwhile; the next pass tries again."""


class Checkpoints:
    """Call `on_commit` after commits, on the event loop, and `finish` after the last one."""

    def __init__(self, folder: Path, turn: threading.Lock) -> None:
        """`turn` is held during a commit."""
        self._folder = folder
        self._turn = turn
        self._done = 0
        self._running: asyncio.Task[None] | None = None

    def on_commit(self, total: int) -> None:
        """`total` bytes were written up to now."""
        if total - self._done >= CHECKPOINT_BYTES and (
            self._running is None or self._running.done()
        ):
            self._done = total
            self._running = asyncio.create_task(asyncio.to_thread(self._checkpoint))

    async def finish(self) -> None:
        """Copy everything and empty the log."""
        if self._running is not None:
            await self._running
        await asyncio.to_thread(self._checkpoint, last=True)

    def _checkpoint(self, *, last: bool = False) -> None:
        with suppress(sqlite3.Error), closing(connect(self._folder)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            large = (self._folder / f"{FILE}-wal").stat().st_size > WAL_BYTES
            mode = "TRUNCATE" if large or last else "RESTART"
            with self._turn if large else nullcontext():
                connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
