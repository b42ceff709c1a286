"""What a store promises. Three engines keep it: SQLite, NATS, and memory for tests.

A store holds *logs* (the events of runs) and *records* (small keyed values: the run index, sessions,
idempotency keys). The two are separate promises because a cluster keeps them in separate places: a
record and a log may be written in the same moment, never in one transaction.

The contract is written so that a JetStream stream per shard fits: an append is a compare-and-set chain
per run, one append in flight per run, carrying everything gathered meanwhile as one frame.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from tailrace.events.stored import Frame
from tailrace.events.types import Event

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
    def log(self) -> EventLog: ...

    @property
    def records(self) -> Records: ...

    async def open(self) -> None:
        """Make ready: create or check the files, recover what a crash left. Raises `LogError`."""
        ...

    async def close(self) -> None:
        """Finish what is in flight, then let go of everything. Later appends raise `LogError`."""
        ...
