"""The contract of a store. Three engines implement it: SQLite, NATS, and memory for tests.

A store holds *logs* (the events of runs) and *records* (small keyed values: the run index, sessions,
idempotency keys). The two are separate interfaces because a cluster keeps them in separate places; the
writes that belong together when a run begins are one call, `Store.begin` (docs/adr/0013).

The contract allows for a JetStream stream per shard: an append is a compare-and-set chain per run, one
append in flight per run, carrying everything gathered meanwhile as one frame.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from tailrace.errors import RevisionMismatch
from tailrace.events.stored import Frame
from tailrace.events.types import Event

BEGIN_SECONDS = 20.0
"""The longest time for which an engine retries the start of a run; then its caller gets `LogError`."""

Listener = Callable[[Sequence[Event]], None]
"""Called on the event loop with events that just became durable, in order; must not block or raise."""


class EventLog(Protocol):
    """The logs of runs. `run` is the run's suffix (`events/ids.py`)."""

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]:
        """Write `frame`; resolves when it is durable, and only then do readers and listeners see it.

        `expected` is the sequence number of the run's last durable event, -1 for none, and `frame.first ==
        expected + 1`. One append per run may be in flight. Raises `Fenced` when the log has moved past
        `expected`, when a higher `attempt` has written, or when the run has ended: nothing was written
        then, and the caller must stop. Raises `LogError` when the engine fails (disk full, closed): nothing
        of this frame will ever be seen, and later appends raise too. The call itself writes nothing to disk
        and never blocks.

        An engine for many processes also takes `BARRIER` (`events/stored.py`) for a run that has not begun:
        until the log is dropped every other append is `Fenced`, and there is nothing to read.
        """
        ...

    async def read(self, run: str, after: int) -> Sequence[Event]:
        """The next durable events with `seq > after`, in order: some, not always all.

        Empty when there are none (yet), or no such run. A slice is bounded in memory whatever the run's
        size; call again from its last `seq`. Slices of a live run's recent tail come from memory.
        """
        ...

    def watch(self, run: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each batch of events of `run` from now on; returns a function that stops it.

        An empty batch means that the run's log was dropped: nothing follows.
        """
        ...

    async def open_runs(self) -> Sequence[str]:
        """The runs that have a log but no end, oldest first. Called once, when a process starts."""
        ...

    async def drop(self, runs: Sequence[str]) -> None:
        """Delete these runs' events. Unknown runs are ignored."""
        ...


class Record(Struct, frozen=True, gc=False):
    """A stored value and its revision (1, 2, 3 …)."""

    key: str
    value: bytes
    revision: int
    expires: int = 0


class Value(Struct, frozen=True):
    """The new content of a record."""

    value: bytes
    expires: int = 0


class Change(Struct, frozen=True):
    """A change of one record, as a function of its current content (None if there is no record).

    `apply` returns the new content, or None to leave the record unchanged, and raises `LogError` to refuse;
    it is called again when another process was faster, and may be called on any thread. `fresh`: there is
    probably no record yet, so an engine may try that first.
    """

    bucket: str
    key: str
    apply: Callable[[Record | None], Value | None]
    fresh: bool = False


def new(bucket: str, key: str, value: bytes, *, expires: int = 0) -> Change:
    """The change that makes a record, and raises `RevisionMismatch` if there is one."""

    def apply(record: Record | None) -> Value:
        if record is not None:
            raise RevisionMismatch(f"there is a record {bucket}/{key} already")
        return Value(value, expires)

    return Change(bucket, key, apply, fresh=True)


class Records(Protocol):
    """Small values under (bucket, key), with compare-and-set and expiry.

    Buckets are names like `runs`, `conversations`, `idempotency`. `expires` is in milliseconds since the
    epoch, 0 for never. An expired record stays readable until it is swept, so that the sweeper can act on
    it: check `expires` where it matters.
    """

    async def get(self, bucket: str, key: str) -> Record | None:
        """The record, or None."""
        ...

    def put(
        self,
        bucket: str,
        key: str,
        value: bytes,
        *,
        revision: int | None = None,
        expires: int = 0,
    ) -> Awaitable[int]:
        """Write a value durably; resolves with the new revision.

        `revision` is the one that the caller read: 0 requires that there is no record, None overwrites any.
        Raises `RevisionMismatch` and writes nothing if it differs. Calls of one process take effect in
        their order.
        """
        ...

    def delete(self, bucket: str, key: str) -> Awaitable[None]:
        """Remove a record, if it exists."""
        ...

    def change(self, change: Change) -> Awaitable[None]:
        """Read a record and write the result of `change`, atomically. Raises the errors of `apply`."""
        ...

    async def scan(
        self, bucket: str, *, after: str = "", limit: int = 100, newest_first: bool = False
    ) -> Sequence[Record]:
        """Up to `limit` records in the order of their keys, after `after` in that direction."""
        ...

    async def due(self, bucket: str, now: int, limit: int = 100) -> Sequence[Record]:
        """Up to `limit` records whose `expires` is neither 0 nor later than `now`."""
        ...


class Store(Protocol):
    """Logs and records, and the lifecycle of the engine."""

    @property
    def log(self) -> EventLog:
        """The logs. Raises `NotOpen` before `open`."""
        ...

    @property
    def records(self) -> Records:
        """The records. Raises `NotOpen` before `open`."""
        ...

    def begin(
        self, run: str, frame: Frame, *, before: Sequence[Change], beside: Sequence[Change]
    ) -> Awaitable[None]:
        """Write the first frame of a run and change some records atomically; resolves when all is durable.

        Raises `Fenced` when the run exists, and what a change raises: nothing was written then. An engine
        without a transaction over logs and records makes the changes of `before` one after the other, then
        writes the frame and, concurrently, makes the changes of `beside`. A crash or an error in between
        leaves claims and entries that name a run without a log, or a log without its record: such a run
        never began, and its id was not returned to any client.
        """
        ...

    async def open(self) -> None:
        """Open: create or check the files, recover from a crash. Raises `LogError`."""
        ...

    async def close(self) -> None:
        """Finish writes in flight, then close everything. Later appends raise `LogError`."""
        ...
