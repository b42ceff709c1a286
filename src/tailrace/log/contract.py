"""What a store promises. Three engines keep it: SQLite, NATS, and memory for tests.

A store holds *logs* (the events of runs) and *records* (small keyed values: the run index, sessions,
idempotency keys). The two are separate promises because a cluster keeps them in separate places; what
belongs together when a run begins is one call, `Store.begin` (docs/adr/0013).

The contract is written so that a JetStream stream per shard fits: an append is a compare-and-set chain
per run, one append in flight per run, carrying everything gathered meanwhile as one frame.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from tailrace.errors import RevisionMismatch
from tailrace.events.stored import Frame
from tailrace.events.types import Event

BEGIN_SECONDS = 20.0
"""How long an engine insists on beginning a run at most; then its caller hears `LogError`."""

Listener = Callable[[Sequence[Event]], None]
"""Called on the event loop with events that just became durable, in order; must not block or raise."""


class EventLog(Protocol):
    """The logs of runs. `run` is the run's suffix (`events/ids.py`)."""

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]:
        """Write `frame`; resolves when it is durable, and only then do readers and listeners see it.

        `expected` is the sequence number of the run's last durable event, -1 for none, and
        `frame.first == expected + 1`. One append per run may be in flight. Raises `Fenced` when the log
        has moved past `expected`, when a higher `attempt` has written, or when the run has ended:
        nothing was written then, and the caller must stop. Raises `LogError` when the engine is broken
        (disk full, closed): nothing of this frame will ever be seen, and later appends raise too.
        The call itself writes nothing to disk and never blocks.

        An engine for many processes also takes `BARRIER` (`events/stored.py`) where a run has not begun:
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
        """Call `listener` with each batch of events of `run` from now on; returns the way to stop it.

        An empty batch means that the run's log was dropped: nothing follows.
        """
        ...

    async def open_runs(self) -> Sequence[str]:
        """The runs that have a log but no end, oldest first. Asked once, when a process starts."""
        ...

    async def drop(self, runs: Sequence[str]) -> None:
        """Forget these runs' events. Unknown runs are ignored."""
        ...


class Record(Struct, frozen=True, gc=False):
    """A stored value and its revision (1, 2, 3 …)."""

    key: str
    value: bytes
    revision: int
    expires: int = 0


class Value(Struct, frozen=True):
    """What a record is to hold."""

    value: bytes
    expires: int = 0


class Change(Struct, frozen=True):
    """A change of one record, as a function of the record as it is (None where there is none).

    `apply` returns what to write, or None to leave the record alone, and raises `LogError` to refuse; it is
    called again when another process was quicker, and may be called on any thread. `fresh` says that there
    is probably no record yet: an engine may try that first.
    """

    bucket: str
    key: str
    apply: Callable[[Record | None], Value | None]
    fresh: bool = False


def new(bucket: str, key: str, value: bytes, *, expires: int = 0) -> Change:
    """The change that makes a record where there is none, and refuses (`RevisionMismatch`) where there is."""

    def apply(record: Record | None) -> Value:
        if record is not None:
            raise RevisionMismatch(f"there is a record {bucket}/{key} already")
        return Value(value, expires)

    return Change(bucket, key, apply, fresh=True)


class Records(Protocol):
    """Small values under (bucket, key), with compare-and-set and expiry.

    Buckets are names like `runs`, `conversations`, `idempotency`. `expires` is in milliseconds since
    the epoch, 0 for never. An expired record stays readable until it is swept, so that the one who
    sweeps can act on it: check `expires` where it matters.
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

        `revision` is the one the caller read: 0 demands that there is no record, None overwrites
        whatever is there. Raises `RevisionMismatch` and writes nothing when it does not hold.
        Calls of one process take effect in the order they were made.
        """
        ...

    def delete(self, bucket: str, key: str) -> Awaitable[None]:
        """Remove a record; nothing happens where there is none."""
        ...

    def change(self, change: Change) -> Awaitable[None]:
        """Read a record and write the result of `change`, atomically. Raises the errors of `apply`."""
        ...

    async def scan(
        self, bucket: str, *, after: str = "", limit: int = 100, newest_first: bool = False
    ) -> Sequence[Record]:
        """Up to `limit` records in the order of their keys, beyond `after` in that direction."""
        ...

    async def due(self, bucket: str, now: int, limit: int = 100) -> Sequence[Record]:
        """Up to `limit` records whose `expires` is neither 0 nor later than `now`."""
        ...


class Store(Protocol):
    """Both promises, and the engine's own life."""

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
        """Make ready: create or check the files, recover what a crash left. Raises `LogError`."""
        ...

    async def close(self) -> None:
        """Finish what is in flight, then let go of everything. Later appends raise `LogError`."""
        ...
