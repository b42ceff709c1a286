"""The one thread that writes to the SQLite file: group commit without timers.

While one commit runs, what comes meanwhile gathers; an idle thread commits at once. All frames of a
commit go into one `segments` row with one statement, for each statement gives up the interpreter lock
and must win it back. The event loop is woken once a commit.

A commit that fails (disk full, I/O error) fails everything in it with `LogError` and leaves no trace;
the next one is tried like any other, so the store works again as soon as the disk does.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from tailrace.errors import LogError

Result = TypeVar("Result")
_msgpack = msgspec.msgpack.Encoder().encode


class StoredFrame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A run's frame inside a segment."""

    run: str
    first: int
    last: int
    schema: int
    body: bytes


class Write(Generic[Result]):
    """Something to be done in the next commit.

    `frame` goes into the segment; `act` runs its own statements and may raise `LogError`, which fails
    this write alone. `done` is called on the event loop after the commit, before `future` resolves.
    """

    __slots__ = ("act", "done", "failed", "frame", "future")

    def __init__(
        self,
        future: asyncio.Future[Result],
        *,
        frame: StoredFrame | None = None,
        act: Callable[[sqlite3.Connection], Any] | None = None,
        done: Callable[[int], None] | None = None,
        failed: Callable[[], None] | None = None,
    ) -> None:
        self.future = future
        self.frame = frame
        self.act = act
        self.done = done
        self.failed = failed


class WriterThread:
    """Commits writes in the order of `submit`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queue: deque[Write[Any]] = deque()
        self._ready = threading.Event()
        self._closed = False
        self._finish = False
        self._outstanding = 0
        self._idle: asyncio.Event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="tailrace-writer", daemon=True)
        self._thread.start()

    def submit(self, write: Write[Any], *, follow_up: bool = False) -> None:
        """Queue a write. Event loop only. After `stop` only follow-ups of earlier writes are taken."""
        if self._closed and not follow_up:
            write.future.set_exception(LogError("the store is closed"))
            return
        self._outstanding += 1
        self._idle.clear()
        self._queue.append(write)
        if not self._ready.is_set():
            self._ready.set()

    async def stop(self) -> None:
        """Commit what is queued and what follows from it, then end the thread."""
        self._closed = True
        if self._outstanding:
            await self._idle.wait()
        self._finish = True
        self._ready.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while True:
            self._ready.wait()
            self._ready.clear()
            batch = list[Write[Any]]()
            while self._queue:
                batch.append(self._queue.popleft())
            if batch:
                self._commit(batch)
            elif self._finish:
                return

    def _commit(self, batch: list[Write[Any]]) -> None:
        results: list[Any] = []
        segment = 0
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            frames: list[StoredFrame] = []
            for write in batch:
                result, frame = self._one(write)
                results.append(result)
                if frame is not None:
                    frames.append(frame)
            if frames:
                cursor = self._connection.execute(
                    "INSERT INTO segments (frames) VALUES (?)", (_msgpack(frames),)
                )
                segment = cursor.lastrowid or 0
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            results = [LogError(f"the log cannot be written: {error}")] * len(batch)
        self._loop.call_soon_threadsafe(self._resolve, batch, results, segment)

    def _resolve(self, batch: Sequence[Write[Any]], results: Sequence[Any], segment: int) -> None:
        """On the event loop: tell everybody how the commit went."""
        for write, result in zip(batch, results, strict=True):
            _tell(write, result, segment)
        self._outstanding -= len(batch)
        if not self._outstanding:
            self._idle.set()

    def _one(self, write: Write[Any]) -> tuple[Any, StoredFrame | None]:
        try:
            result = write.act(self._connection) if write.act is not None else None
        except LogError as error:
            return error, None
        return result, write.frame

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the transaction is gone already; the next BEGIN tells


def _tell(write: Write[Any], result: Any, segment: int) -> None:
    future = write.future
    if isinstance(result, LogError):
        if write.failed is not None:
            write.failed()
        if not future.done():
            future.set_exception(result)
    else:
        if write.done is not None:
            write.done(segment)
        if not future.done():
            future.set_result(result)
