"""`EventLog` over the SQLite file: fencing, durability, and notifications.

One process owns the file, so what may be appended is decided in memory, on the event loop. A frame goes
into a segment; the latest part of a live run stays in memory (`live.py`), the older part and ended
runs are read from chunks (`rows.py`), which `upkeep.py` makes.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from tailrace.errors import Damaged, Fenced
from tailrace.events import ids
from tailrace.events.stored import Frame, decode
from tailrace.events.types import Event
from tailrace.log.contract import Listener
from tailrace.log.stores.sqlite import rows, segments, sums
from tailrace.log.stores.sqlite.live import LiveRun
from tailrace.log.stores.sqlite.readers import ReadPool
from tailrace.log.stores.sqlite.recovery import Recovery
from tailrace.log.stores.sqlite.segments import Piece, SegmentGone
from tailrace.log.stores.sqlite.upkeep import Upkeep
from tailrace.log.stores.sqlite.writer import Action, Append, Commit, Writer
from tailrace.log.watchers import Watchers

DROP_RUNS = 10
"""Runs forgotten in one commit."""


class SqliteLog:
    """The logs of runs in one file."""

    def __init__(self, writer: Writer, readers: ReadPool, recovery: Recovery) -> None:
        self._writer = writer
        self._readers = readers
        self._runs = recovery.runs
        self._new: dict[str, LiveRun] = {}
        self._dropped_runs = recovery.dropped_runs
        self._segment = recovery.segment
        self._has_torn_segment = recovery.has_torn_segment
        self._uncertain = recovery.uncertain()
        self._watchers = Watchers()
        self._upkeep = Upkeep(writer, self._runs, self._dropped_runs)
        self._loop = asyncio.get_running_loop()
        for live in recovery.runs.values():
            if not live.settled:
                self._upkeep.attend(live)

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]:
        return self._append(run, frame, expected, attempt)

    def begin(self, run: str, frame: Frame, beside: Action[None]) -> Awaitable[None]:
        """A run's first frame, in one transaction with what `beside` writes."""
        return self._append(run, frame, -1, 1, beside)

    def _append(
        self,
        run: str,
        frame: Frame,
        expected: int,
        attempt: int,
        beside: Action[None] | None = None,
    ) -> Awaitable[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        live = self._runs.get(run)
        first = live is None
        if live is None:
            live = self._newcomer(run)
        refusal = live.refusal(frame, expected, attempt)
        if refusal is not None:
            future.set_exception(refusal)
            return future
        live.in_flight = True
        if first:
            self._new[run] = live
        self._writer.append(Append(live, frame, attempt, frame.ends, first, future, beside))
        return future

    async def read(self, run: str, after: int) -> Sequence[Event]:
        while True:
            live = self._runs.get(run)
            if live is None or after < live.base - 1:
                return await self._chunk(run, after, live)
            pieces = live.slice(after)
            if not pieces and run in self._uncertain:
                raise _uncertain(run)
            bodies = [piece.body for piece in pieces if piece.body is not None]
            if len(bodies) == len(pieces):
                return _beyond(after, bodies)
            try:
                return await self._readers.run(partial(_load, run, after, pieces), run)
            except SegmentGone:  # it became a chunk meanwhile
                if self._runs.get(run) is live and live.slice(after)[:1] == pieces[:1]:
                    raise sums.report_damage("segments", f"event {after + 1}", run) from None

    def watch(self, run: str, listener: Listener) -> Callable[[], None]:
        return self._watchers.watch(run, listener)

    async def open_runs(self) -> Sequence[str]:
        return [run for run, live in self._runs.items() if not live.finished]

    async def drop(self, runs: Sequence[str]) -> None:
        for start in range(0, len(runs), DROP_RUNS):
            await self._drop(runs[start : start + DROP_RUNS])

    def on_commit(self, commit: Commit) -> None:
        """Apply a commit of the writer, before it resolves the futures. Only here do the events of an append
        become visible."""
        for append in [append for append in commit.appends if append.live.dropped]:
            commit.refuse(append, Fenced(f"the run {append.live.run} was dropped"))
        if commit.error is None:
            self._segment = max(self._segment, commit.segment)
            for append in commit.appends:
                self._land(append, commit.segment)
            self._upkeep.look_round(commit.segment, self._writer.bytes_written)
        else:
            for append in commit.appends:
                self._fail(append)
        for append, _ in commit.refusals:
            self._fail(append)

    async def settle(self) -> None:
        """Seal what has ended and trim the segments, as far as the disk allows."""
        await self._upkeep.settle(self._segment)

    async def _chunk(self, run: str, after: int, live: LiveRun | None) -> Sequence[Event]:
        events = await self._readers.run(
            lambda connection: rows.read(connection, run, after, more=live is not None), run
        )
        if not events and after < 0 and self._has_torn_segment and run not in self._dropped_runs:
            raise _uncertain(run)
        return events

    def _newcomer(self, run: str) -> LiveRun:
        """A run that is not in memory: new, as far as the event loop knows; the writer looks it up."""
        live = self._new.get(run)
        if live is None:
            live = LiveRun(run)
            live.dropped = run in self._dropped_runs
        return live

    def _land(self, append: Append, segment: int) -> None:
        live, frame = append.live, append.frame
        if append.first:
            del self._new[live.run]
            self._runs[live.run] = live
        live.keep(Piece(frame.first, frame.last, segment, len(frame.body), frame.body))
        live.land(frame.last, append.attempt, finished=append.ends)
        self._watchers.tell(live.run, frame.events)
        if not live.settled:
            self._upkeep.attend(live)

    def _fail(self, append: Append) -> None:
        append.live.in_flight = False
        if append.first:
            del self._new[append.live.run]

    async def _drop(self, runs: Sequence[str]) -> None:
        for run in runs:
            live = self._runs.pop(run, None) or self._new.get(run)
            if live is not None:
                live.dropped = True
            self._dropped_runs[run] = sys.maxsize

        def action(connection: sqlite3.Connection) -> int:
            segment = self._writer.segment + 1  # of this very commit, if it has one
            for run in runs:
                rows.forget(connection, run)
                connection.execute("DELETE FROM live WHERE run = ?", (run,))
                about = (run, segment, sums.row(run, segment))
                connection.execute("INSERT OR REPLACE INTO dropped VALUES (?, ?, ?)", about)
            return segment

        segment = await self._writer.act(action)
        for run in runs:
            self._dropped_runs[run] = segment
            self._watchers.tell(run, ())


def _load(
    run: str, after: int, pieces: Sequence[Piece], connection: sqlite3.Connection
) -> Sequence[Event]:
    return _beyond(after, [segments.load(connection, run, piece) for piece in pieces])


def _uncertain(run: str) -> Damaged:
    return Damaged(f"The log of {ids.run_id(run)} may continue in a damaged part of the disk.")


def _beyond(after: int, bodies: Sequence[bytes]) -> Sequence[Event]:
    """The events in these bodies that come after `after`."""
    if not bodies:
        return ()
    events = decode(b"\n".join(bodies))
    return events[after + 1 - events[0].seq :]
