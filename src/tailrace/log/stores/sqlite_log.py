"""`EventLog` over the SQLite file: live runs in memory and segments, ended ones in one row.

One process owns the file, so what may be appended is decided in memory, on the event loop. A live run
keeps its latest events in memory; every `CHUNK_EVENTS` of them are written once more as a chunk of its
own, so that memory stays bounded and reading a run never scans the segments of others. When a run ends
its log becomes one compact row, and segments that nobody needs go.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from tailrace.errors import Fenced
from tailrace.events.stored import SCHEMA, Frame, decode
from tailrace.events.types import Event
from tailrace.log.contract import Listener
from tailrace.log.stores.sqlite_readers import Readers
from tailrace.log.stores.sqlite_writer import StoredFrame, Write, WriterThread

CHUNK_EVENTS = 256
CHUNK_BYTES = 262_144
ROW_BYTES = 524_288
"""A compact row's size at most, so that reading a huge run stays sliced."""
SLICE_EVENTS = 1_000
TRIM_SEGMENTS = 256
"""Segments between two looks for those that nobody needs."""
OLD_SEGMENTS = 10_000
"""A quiet live run that holds back this many segments is chunked, so that they can go."""
DROP_RUNS = 10
"""Runs forgotten in one commit."""

_frames = msgspec.msgpack.Decoder(list[StoredFrame]).decode


class _Live:
    """A run that has no compact row yet.

    `claimed` is the last event durable or on its way; `tail` the durable events from `base` on, and
    `bodies` their stored bytes; `oldest` the first segment that holds one of them.
    """

    __slots__ = ("attempt", "base", "bodies", "busy", "claimed", "ended", "oldest", "size", "tail")

    def __init__(self, claimed: int = -1) -> None:
        self.claimed = claimed
        self.attempt = 0
        self.ended = False
        self.base = claimed + 1
        self.tail: list[Event] = []
        self.bodies: list[bytes] = []
        self.size = 0
        self.oldest = 0
        self.busy = False

    def add(self, events: Sequence[Event], body: bytes, segment: int) -> None:
        if not self.tail:
            self.oldest = segment
        self.tail.extend(events)
        self.bodies.append(body)
        self.size += len(body)


class SqliteLog:
    """The logs of runs in one file. Made by `SqliteStore`, which calls `recover` first."""

    def __init__(self, writer: WriterThread, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers
        self._live: dict[str, _Live] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._segment = 0
        self._trimmed = 0

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        live = self._live.get(run)
        if live is None:
            live = _Live()
        if live.claimed != expected or live.ended or frame.first != expected + 1:
            future.set_exception(Fenced(f"the log of {run} is at {live.claimed}"))
            return future
        if attempt < live.attempt:
            future.set_exception(Fenced(f"attempt {live.attempt} writes {run}"))
            return future
        before = live.claimed
        self._live[run] = live
        live.claimed, live.attempt, live.ended = frame.last, attempt, frame.ends
        known = live

        def failed() -> None:
            known.claimed, known.ended = before, False
            if before < 0:
                self._live.pop(run, None)

        stored = StoredFrame(run, frame.first, frame.last, SCHEMA, frame.body)
        write = Write(
            future,
            frame=stored,
            act=(lambda connection: _check_new(connection, run)) if expected < 0 else None,
            done=lambda segment: self._durable(run, known, frame, segment),
            failed=failed,
        )
        self._writer.submit(write)
        return future

    async def read(self, run: str, after: int) -> Sequence[Event]:
        live = self._live.get(run)
        if live is not None and after >= live.base - 1:
            start = after + 1 - live.base
            return live.tail[start : start + SLICE_EVENTS]
        return await self._readers.run(lambda connection: _read(connection, run, after))

    def watch(self, run: str, listener: Listener) -> Callable[[], None]:
        listeners = self._listeners.setdefault(run, [])
        listeners.append(listener)

        def stop() -> None:
            if listener in listeners:
                listeners.remove(listener)
            if not listeners and self._listeners.get(run) is listeners:
                del self._listeners[run]

        return stop

    async def open_runs(self) -> Sequence[str]:
        return [run for run, live in self._live.items() if not live.ended]

    async def drop(self, runs: Sequence[str]) -> None:
        for start in range(0, len(runs), DROP_RUNS):
            some = runs[start : start + DROP_RUNS]
            for run in some:
                self._live.pop(run, None)

            def forget(connection: sqlite3.Connection, some: Sequence[str] = some) -> None:
                marks = [(run,) for run in some]
                connection.executemany("DELETE FROM chunks WHERE run = ?", marks)
                connection.executemany("DELETE FROM ended WHERE run = ?", marks)

            await self._do(forget)

    def recover(self, connection: sqlite3.Connection) -> None:
        """Rebuild the live runs from the segments; runs that ended without a compact row get one."""
        chunked: dict[str, int] = dict(
            connection.execute(
                "SELECT run, max(last) FROM chunks WHERE run NOT IN (SELECT run FROM ended) GROUP BY run"
            ).fetchall()
        )
        ended = {run for (run,) in connection.execute("SELECT run FROM ended")}
        for segment, blob in connection.execute("SELECT id, frames FROM segments ORDER BY id"):
            self._segment = segment
            for frame in _frames(blob):
                if frame.run not in ended:
                    self._recover_frame(segment, frame, chunked.get(frame.run, -1))
        for run, last in chunked.items():
            self._live.setdefault(run, _Live(last))
        for run, live in list(self._live.items()):
            if live.ended:
                self._seal(run, live)

    def _recover_frame(self, segment: int, frame: StoredFrame, chunked: int) -> None:
        live = self._live.get(frame.run)
        if live is None:
            live = self._live[frame.run] = _Live(chunked)
        if frame.last <= live.claimed:
            return
        events = decode(frame.body, frame.schema)
        whole = Frame(tuple(events), frame.body, frame.schema)
        live.add(events, frame.body, segment)
        live.claimed, live.ended = frame.last, whole.ends

    def _durable(self, run: str, live: _Live, frame: Frame, segment: int) -> None:
        """A frame is on disk: readers may see it."""
        self._segment = segment
        live.add(frame.events, frame.body, segment)
        for listener in tuple(self._listeners.get(run, ())):
            listener(frame.events)
        if frame.ends:
            self._seal(run, live)
        elif len(live.tail) >= CHUNK_EVENTS or live.size >= CHUNK_BYTES:
            self._chunk(run, live)
        if segment - self._trimmed >= TRIM_SEGMENTS:
            self._trim()

    def _chunk(self, run: str, live: _Live) -> None:
        """Write the tail once more as a row of its own, then let go of it."""
        if live.busy or not live.tail or live.ended:
            return
        live.busy = True
        count, pieces = len(live.tail), len(live.bodies)
        row = (run, live.base, live.tail[-1].seq, SCHEMA, b"\n".join(live.bodies))

        def written(_: int) -> None:
            live.busy = False
            live.base = row[2] + 1
            del live.tail[:count], live.bodies[:pieces]
            live.size = sum(map(len, live.bodies))
            live.oldest = self._segment

        self._quietly(lambda connection: _insert(connection, [row]), written, live)

    def _seal(self, run: str, live: _Live) -> None:
        """Make an ended run's log one compact row."""
        tail = b"\n".join(live.bodies)

        def sealed(_: int) -> None:
            if self._live.get(run) is live:
                del self._live[run]
            if not self._live:
                self._trim()

        self._quietly(lambda connection: _compact(connection, run, tail), sealed, live)

    def _trim(self) -> None:
        """Delete the segments that no live run needs."""
        live = [(run, live) for run, live in self._live.items() if live.tail]
        for run, quiet in live:
            if self._segment - quiet.oldest > OLD_SEGMENTS:
                self._chunk(run, quiet)
        needed = min((state.oldest for _, state in live), default=self._segment + 1)
        self._trimmed = self._segment
        self._quietly(
            lambda connection: connection.execute("DELETE FROM segments WHERE id < ?", (needed,)),
            None,
            None,
        )

    def _quietly(
        self,
        act: Callable[[sqlite3.Connection], object],
        done: Callable[[int], None] | None,
        live: _Live | None,
    ) -> None:
        """A write of our own: if it fails, what it tidies up stays in the segments for the next time."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda finished: finished.cancelled() or finished.exception())

        def failed() -> None:
            if live is not None:
                live.busy = False

        write = Write(future, act=act, done=done, failed=failed)
        self._writer.submit(write, follow_up=True)

    async def _do(self, act: Callable[[sqlite3.Connection], None]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer.submit(Write(future, act=act))
        await future


def _check_new(connection: sqlite3.Connection, run: str) -> None:
    if connection.execute("SELECT 1 FROM ended WHERE run = ?", (run,)).fetchone():
        raise Fenced(f"the run {run} has ended")


def _read(connection: sqlite3.Connection, run: str, after: int) -> Sequence[Event]:
    """The events beyond `after` of the first row that has any."""
    row = connection.execute(
        "SELECT first, schema, body FROM chunks WHERE run = ? AND last > ? ORDER BY first LIMIT 1",
        (run, after),
    ).fetchone()
    if row is None:
        return ()
    first, schema, body = row
    events = decode(body, schema)
    return events[after + 1 - first :] if after >= first else events


def _insert(
    connection: sqlite3.Connection, rows: Sequence[tuple[str, int, int, int, bytes]]
) -> None:
    connection.executemany(
        "INSERT INTO chunks (run, first, last, schema, body) VALUES (?, ?, ?, ?, ?)", rows
    )


def _compact(connection: sqlite3.Connection, run: str, tail: bytes) -> None:
    """Replace a run's chunks and its tail by rows of up to `ROW_BYTES`: one, unless it is huge."""
    bodies = [
        body
        for (body,) in connection.execute(
            "SELECT body FROM chunks WHERE run = ? AND schema = ? ORDER BY first", (run, SCHEMA)
        )
    ]
    lines = b"\n".join([*bodies, tail] if tail else bodies).split(b"\n")
    rows: list[tuple[str, int, int, int, bytes]] = []
    start, size = 0, 0
    for number, line in enumerate(lines):
        size += len(line) + 1
        if size > ROW_BYTES or number == len(lines) - 1:
            rows.append((run, start, number, SCHEMA, b"\n".join(lines[start : number + 1])))
            start, size = number + 1, 0
    connection.execute("DELETE FROM chunks WHERE run = ?", (run,))
    _insert(connection, rows)
    connection.execute("INSERT OR REPLACE INTO ended VALUES (?, ?)", (run, len(lines) - 1))
