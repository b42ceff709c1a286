"""Group commit: the event loop gathers appends, and one thread writes each batch in one transaction.

Why one thread. SQLite in WAL mode has one writer at a time (https://sqlite.org/wal.html, section
"Concurrency"); a second connection that writes would only wait for the first one's lock. With
`synchronous=FULL` each commit syncs the write-ahead log once, for one frame as for a hundred
(https://sqlite.org/pragma.html#pragma_synchronous). So throughput depends on the number of frames in a
commit, not on the number of threads.

Why no timer. While one commit runs, new appends gather on the event loop. `_resolve` completes the futures
of the finished commit, their owners append again in the same turn of the loop, and only then `_go_on` hands
the next batch to the thread. The batch size follows the load by itself: under no load a commit holds one
frame and starts at the end of the loop's turn; under load it holds whatever arrived during one sync. The
thread wakes once per commit and so does the loop, and they do not compete for the interpreter lock in
between. The rejected alternative, a thread that takes from a queue whatever is there, made twice as many
commits.

Why one statement. Each statement releases the interpreter lock and must acquire it again. All frames of a
commit are one row of `segments`, written by one `INSERT`; without other work that statement is the
transaction. Maintenance (`later`) is limited per commit, so that no acknowledgement waits for a thousand
ended runs.

A commit that fails (disk full, I/O error) fails all of its appends and acts with `LogError` and is rolled
back; the next commit is attempted as usual, so the store works again as soon as the disk does. A run has
one append in flight (`claim.py`), so a failed commit cannot leave a gap before a later frame of the same
run.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from msgspec import Struct

from tailrace.errors import Fenced, LogError
from tailrace.events.stored import Frame
from tailrace.log.stores.sqlite import segments
from tailrace.log.stores.sqlite.live import LiveRun
from tailrace.log.stores.sqlite.rows import has
from tailrace.log.stores.sqlite.segments import Head

COMMIT_BYTES = 4_194_304
"""Frames beyond this wait for the next commit, because each append waits for its whole commit."""
LATER_ACTS = 16
LATER_BYTES = 1_048_576
"""Maximum number of maintenance actions in one commit, and of bytes that they write; more if the appends of
the commit are larger, so that maintenance keeps up with them."""
ACT_BYTES = 8_192
"""Estimated bytes that an action, or the row of a segment, adds to the write-ahead log besides its
content."""

DAMAGE = frozenset(
    (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
    )
)
"""SQLite's error codes for a damaged page; other pages may be intact."""

Result = TypeVar("Result")
Action = Callable[[sqlite3.Connection], Result]


class Append(Struct, gc=False, eq=False):
    """A frame for the next segment. `first` requires that its run is new; `beside` are statements that
    belong to a first frame: a `LogError` that they raise before they write anything refuses the frame."""

    live: LiveRun
    frame: Frame
    attempt: int
    ends: bool
    first: bool
    future: asyncio.Future[None]
    beside: Action[None] | None = None


class Act(Struct, gc=False, eq=False):
    """Statements to be run in the next commit. A `LogError` that `action` raises before it has written
    anything fails this act alone; any other exception fails the commit. `size`: about so many bytes are
    written."""

    action: Action[Any]
    future: asyncio.Future[Any]
    size: int = 0


class Commit:
    """The content of one transaction, and its outcome.

    `outcomes` are the results or errors of `acts`, in order; `refusals` are the appends that are not in
    `segment`; `error` means that nothing of it was written. `impossible` are the numbers of the acts that a
    damaged page prevents: the rest is tried again without them.
    """

    __slots__ = ("acts", "appends", "error", "impossible", "outcomes", "refusals", "segment")

    def __init__(self, appends: list[Append], acts: list[Act]) -> None:
        self.appends = appends
        self.acts = acts
        self.outcomes: list[Any] = []
        self.refusals: list[tuple[Append, LogError]] = []
        self.segment = 0
        self.impossible: dict[int, LogError] = {}
        self.error: LogError | None = None

    def refuse(self, append: Append, error: LogError) -> None:
        """Remove an append."""
        self.appends.remove(append)
        self.refusals.append((append, error))

    def without(self, culprit: int | Append, error: LogError) -> None:
        """Try again without an act (by its number) or an append that a damaged page prevents."""
        self.outcomes.clear()
        if isinstance(culprit, Append):
            self.refuse(culprit, error)
        else:
            self.impossible[culprit] = error


class _Corrupt(Exception):
    """An act, or a statement beside a run's first frame, met a damaged page."""

    def __init__(self, culprit: int | Append, message: str) -> None:
        """`culprit` is the number of the act, or the first append of a run."""
        super().__init__(message)
        self.culprit = culprit


class Writer:
    """Commits appends and acts in the order in which they were given. Event loop only."""

    def __init__(self, connection: sqlite3.Connection, segment: int) -> None:
        """`segment` is the number of the last one in the file."""
        self.segment = segment
        self.bytes_written = 0
        self.commit_lock = threading.Lock()
        """Held by the thread during a commit; another holder has the file for itself."""
        self._connection = connection
        self._cursor = connection.cursor()
        self._appends: list[Append] = []
        self._acts: list[Act] = []
        self._later: deque[Act] = deque()
        self._size = 0
        self._busy = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._on_commit: Callable[[Commit], None] = lambda _: None
        self._commits: SimpleQueue[Commit | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tailrace-writer", daemon=True)

    def start(self, on_commit: Callable[[Commit], None]) -> None:
        """Start the thread. `on_commit` is called on the event loop after each commit, before futures
        resolve."""
        self._on_commit = on_commit
        self._thread.start()

    def append(self, append: Append) -> None:
        """Put a frame into the next segment, unless the writer is closed."""
        if self._closed:
            append.live.in_flight = False
            append.future.set_exception(LogError("the store is closed"))
            return
        self._appends.append(append)
        self._size += len(append.frame.body)
        if not self._busy:
            self._wake()

    def act(self, action: Action[Result]) -> asyncio.Future[Result]:
        """Run statements; resolves with what `action` returned once that is durable."""
        if not self._closed:
            return self._put(self._acts, action)
        future: asyncio.Future[Result] = self._loop.create_future()
        future.set_exception(LogError("the store is closed"))
        return future

    def later(self, action: Action[Result], size: int = 0) -> asyncio.Future[Result]:
        """The same for maintenance, which writes about `size` bytes: gradually, and also when closed."""
        return self._put(self._later, action, size)

    async def close(self) -> None:
        """Refuse further appends and acts; returns when the earlier ones are done."""
        self._closed = True
        with suppress(LogError):
            await self._put(self._acts, _nothing)
        while self._appends:
            with suppress(LogError):
                await self._put(self._acts, _nothing)

    async def stop(self) -> None:
        """End the thread. `close` was called."""
        self._commits.put(None)
        await asyncio.to_thread(self._thread.join)

    def _put(
        self, where: list[Act] | deque[Act], action: Action[Result], size: int = 0
    ) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = self._loop.create_future()
        where.append(Act(action, future, size))
        if not self._busy:
            self._wake()
        return future

    def _wake(self) -> None:
        self._busy = True
        self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Hand the gathered appends and acts to the thread, within limits."""
        appends, self._appends = self._appends, []
        if self._size > COMMIT_BYTES:
            count = _fitting(appends)
            appends, self._appends = appends[:count], appends[count:]
        self._size = _size(self._appends)
        commit = Commit(appends, self._acts + self._tidying(_size(appends)))
        self._acts = []
        for append in [append for append in appends if append.live.dropped]:
            commit.refuse(append, Fenced(f"the run {append.live.run} was dropped"))
        self._commits.put(commit)

    def _tidying(self, appended_bytes: int) -> list[Act]:
        """The maintenance actions beside appends of this many bytes: at least one, if there are any."""
        most, size = max(LATER_BYTES, appended_bytes), 0
        acts: list[Act] = []
        while self._later and len(acts) < LATER_ACTS:
            size += self._later[0].size
            if acts and size > most:
                break
            acts.append(self._later.popleft())
        return acts

    def _run(self) -> None:
        """The writer thread. It alone uses the connection, and calls the loop once per commit."""
        while (commit := self._commits.get()) is not None:
            with self.commit_lock:
                self._commit(commit)
            self._loop.call_soon_threadsafe(self._resolve, commit)

    def _commit(self, commit: Commit) -> None:
        """One transaction. No exception may leave this method: futures of a dead thread never resolve."""
        try:
            # A single INSERT is its own transaction: BEGIN and COMMIT would be two more statements.
            alone = not commit.acts and not any(append.first for append in commit.appends)
            if not alone:
                # IMMEDIATE takes the write lock now. A deferred transaction that reads first and then writes
                # fails with SQLITE_BUSY if a command's connection has written in between (wal.html).
                self._cursor.execute("BEGIN IMMEDIATE")
                self._act(commit)
            if commit.appends:
                self._write_segment(commit)
            if not alone:
                self._cursor.execute("COMMIT")
            self.segment = commit.segment or self.segment
        except _Corrupt as error:
            self._roll_back()
            commit.without(error.culprit, LogError(f"the log cannot be written: {error}"))
            self._commit(commit)
        except Exception as error:
            self._roll_back()
            commit.error = LogError(f"the log cannot be written: {error}")

    def _act(self, commit: Commit) -> None:
        for number, act in enumerate(commit.acts):
            if number in commit.impossible:
                commit.outcomes.append(commit.impossible[number])
                continue
            try:
                commit.outcomes.append(act.action(self._connection))
            except LogError as error:
                commit.outcomes.append(error)
            except sqlite3.DatabaseError as error:
                raise _of(error, number) from error
        for append in [append for append in commit.appends if append.first]:
            try:
                self._begin(append)
            except LogError as error:
                commit.refuse(append, error)
            except sqlite3.DatabaseError as error:
                raise _of(error, append) from error
        self.bytes_written += ACT_BYTES * len(commit.acts)

    def _begin(self, append: Append) -> None:
        """Check the conditions of a run's first frame, and execute its statements. Raises `LogError`."""
        if has(self._connection, append.live.run):
            raise Fenced(f"the run {append.live.run} has ended")
        if append.beside is not None:
            append.beside(self._connection)
            self.bytes_written += ACT_BYTES

    def _write_segment(self, commit: Commit) -> None:
        number = self.segment + 1
        heads = [_head(append) for append in commit.appends]
        bodies = [append.frame.body for append in commit.appends]
        size = segments.write(self._cursor, number, heads, bodies)
        commit.segment = number
        self.bytes_written += ACT_BYTES + size

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._cursor.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite has rolled it back already; if not, the next BEGIN fails and reports it

    def _resolve(self, commit: Commit) -> None:
        """Resolve all futures. Appends that their owners make in response belong to the next commit: it is
        handed over one turn later."""
        self._on_commit(commit)
        if commit.error is not None:
            commit.outcomes = [commit.error] * len(commit.acts)
            commit.refusals += [(append, commit.error) for append in commit.appends]
            commit.appends = []
        for append in commit.appends:
            if not append.future.done():
                append.future.set_result(None)
        for append, refusal in commit.refusals:
            _settle(append.future, refusal)
        for act, outcome in zip(commit.acts, commit.outcomes, strict=True):
            _settle(act.future, outcome)
        self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._appends or self._acts or self._later:
            self._hand_over()
        else:
            self._busy = False


def _of(error: sqlite3.DatabaseError, culprit: int | Append) -> Exception:
    """The exception for an SQLite error: after a damaged page the rest of the commit can be done."""
    if error.sqlite_errorcode & 0xFF not in DAMAGE:
        return error
    return _Corrupt(culprit, str(error))


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.done():
        return
    if isinstance(outcome, LogError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _size(appends: Sequence[Append]) -> int:
    return sum(len(append.frame.body) for append in appends)


def _fitting(appends: list[Append]) -> int:
    """The number of appends that make a commit: at least one."""
    size = count = 0
    while size <= COMMIT_BYTES and count < len(appends):
        size += len(appends[count].frame.body)
        count += 1
    return count


def _head(append: Append) -> Head:
    frame = append.frame
    return segments.head(
        append.live.run,
        append.attempt,
        frame.body,
        first=frame.first,
        last=frame.last,
        ends=append.ends,
    )


def _nothing(_: sqlite3.Connection) -> None:
    """All requests before it are done."""
