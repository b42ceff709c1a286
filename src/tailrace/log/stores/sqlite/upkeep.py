"""Maintenance of the SQLite log: chunks for long runs, one chunk for ended ones, deletion of segments that
no run needs.

All of it can be done later: if it fails or the process dies, its input is still in the segments, and the
next append, the next pass or the next start does it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from tailrace.errors import LogError
from tailrace.log.stores.sqlite import rows, sums
from tailrace.log.stores.sqlite.live import LiveRun
from tailrace.log.stores.sqlite.segments import Piece
from tailrace.log.stores.sqlite.writer import Writer

SEAL_BYTES = 4_194_304
"""Maximum size of the chunks of an ended run that are joined; longer runs keep theirs, which are large
enough."""
STEP_BYTES = 1_048_576
"""Bytes of a long tail that become chunks at once, so that no acknowledgement waits for all of it."""
TRIM_SEGMENTS = 256
TRIM_BYTES = 33_554_432
"""Number of segments, or of bytes written, between two passes."""
TRIM_AT_ONCE = 1_000
"""Number of segments deleted in one commit."""
OLD_SEGMENTS = 10_000
OLD_BYTES = 67_108_864
"""A quiet live run that holds back this many segments, or bytes written since, is moved to chunks, so that
the segments can be deleted."""

Result = TypeVar("Result")


class Upkeep:
    """Maintains the `runs` of a log and deletes the tombstones in `dropped`. Event loop only."""

    def __init__(
        self, writer: Writer, runs: dict[str, LiveRun], dropped_runs: dict[str, int]
    ) -> None:
        self._writer = writer
        self._runs = runs
        self._dropped_runs = dropped_runs
        self._pending = 0
        self._last_look = 0
        self._marks: deque[tuple[int, int]] = deque([(0, 0)])
        self._trimming = False

    def attend(self, live: LiveRun) -> None:
        """Move a run to chunks, or all of it to one when it has ended, if it is due."""
        if live.finished:
            self._seal(live)
        else:
            self._chunk(live)

    def look_round(self, segment: int, total: int) -> None:
        """Called after each commit with its segment and all bytes written up to it: from time to time it
        starts a pass."""
        if segment - self._last_look >= TRIM_SEGMENTS or total - self._marks[-1][1] >= TRIM_BYTES:
            self._last_look = segment
            self._marks.append((segment, total))
            while len(self._marks) > 1 and total - self._marks[1][1] >= OLD_BYTES:
                self._marks.popleft()
            self._trim(segment)

    def _seal(self, live: LiveRun) -> None:
        """Write the whole log of an ended run as few chunks, and forget the run."""
        if live.busy:
            return None  # a chunk of it is being written; its completion calls this again
        run, base, tail = live.run, live.base, live.tail(STEP_BYTES)
        if tail[-1].last < live.last:
            return self._chunk(live)

        def action(connection: sqlite3.Connection) -> None:
            if live.dropped:
                return
            chunks = rows.take(connection, run, base, SEAL_BYTES) if base > 0 else []
            self._writer.bytes_written += rows.write(connection, run, chunks + tail, ends=True)
            if base > 0:
                connection.execute("DELETE FROM live WHERE run = ?", (run,))

        def on_seal() -> None:
            if self._runs.get(run) is live:
                del self._runs[run]

        return self._tidy(live, action, on_seal, tail)

    async def settle(self, segment: int) -> None:
        """Do all maintenance that is due; returns when it is done or has failed."""
        await self._idle()
        self._trim(segment)
        await self._idle()

    def _chunk(self, live: LiveRun) -> None:
        if live.busy:
            return
        run, pieces, attempt = live.run, live.tail(STEP_BYTES), live.attempt
        last = pieces[-1].last

        def action(connection: sqlite3.Connection) -> None:
            if live.dropped:
                return
            self._writer.bytes_written += rows.write(connection, run, pieces)
            connection.execute(
                "INSERT OR REPLACE INTO live (run, attempt, last, sum) VALUES (?, ?, ?, ?)",
                (run, attempt, last, sums.row(run, attempt, last)),
            )

        def on_chunk() -> None:
            live.cut(len(pieces))
            if not live.settled:
                self.attend(live)

        self._tidy(live, action, on_chunk, pieces)

    def _trim(self, segment: int) -> None:
        """Delete the segments, up to `segment`, that no live run needs."""
        oldest = segment + 1
        for live in self._runs.values():
            if live.oldest is None:
                continue
            if not live.settled or live.oldest < max(segment - OLD_SEGMENTS, self._marks[0][0]):
                self.attend(live)
            oldest = min(oldest, live.oldest)
        if not self._trimming:
            self._delete(oldest)

    def _delete(self, oldest: int) -> None:
        """Delete the segments before `oldest`, a few at a time, and then the tombstones of their runs."""

        def action(connection: sqlite3.Connection) -> bool:
            for table in ("segments_1", "segments"):
                count = connection.execute(
                    f"""DELETE FROM {table} WHERE id IN
                        (SELECT id FROM {table} WHERE id < ? ORDER BY id LIMIT ?)""",
                    (oldest, TRIM_AT_ONCE),
                )
                if count.rowcount == TRIM_AT_ONCE:
                    return False
            connection.execute("DELETE FROM dropped WHERE segment < ?", (oldest,))
            return True

        def on_delete(future: asyncio.Future[bool]) -> None:
            self._trimming = False
            if future.exception() is None:
                if future.result():
                    self._bury(oldest)
                else:
                    self._delete(oldest)

        self._trimming = True
        self._later(action, on_delete)

    def _bury(self, oldest: int) -> None:
        for run in [run for run, segment in self._dropped_runs.items() if segment < oldest]:
            del self._dropped_runs[run]

    def _tidy(
        self,
        live: LiveRun,
        action: Callable[[sqlite3.Connection], None],
        on_done: Callable[[], None],
        pieces: Sequence[Piece],
    ) -> None:
        def on_result(future: asyncio.Future[None]) -> None:
            live.busy = False
            if future.exception() is None:
                on_done()

        live.busy = True
        self._later(action, on_result, sum(piece.size for piece in pieces))

    def _later(
        self,
        action: Callable[[sqlite3.Connection], Result],
        on_done: Callable[[asyncio.Future[Result]], None],
        size: int = 0,
    ) -> None:
        def on_result(future: asyncio.Future[Result]) -> None:
            self._pending -= 1
            on_done(future)

        self._pending += 1
        self._writer.later(action, size).add_done_callback(on_result)

    async def _idle(self) -> None:
        while self._pending:
            with suppress(LogError):
                await self._writer.later(_nothing)


def _nothing(_: sqlite3.Connection) -> None:
    """An action after which all earlier ones are done."""
