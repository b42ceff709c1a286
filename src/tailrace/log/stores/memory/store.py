"""A store in memory: the whole contract, without durability. For tests, and for `tailrace run`.

Appends resolve in a later turn of the event loop, like those of a disk, so that no code depends on an order
that only memory has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tailrace.errors import Fenced, LogError, RevisionMismatch
from tailrace.events.stored import Frame
from tailrace.events.types import Event
from tailrace.log.contract import Change, EventLog, Listener, Record, Records
from tailrace.log.stores.claim import Claim
from tailrace.log.watchers import Watchers

SLICE = 1_000
"""Maximum number of events in one read."""

Result = TypeVar("Result")


class _Run(Claim):
    """One run's log."""

    __slots__ = ("events",)

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.events: list[Event] = []


class MemoryLog:
    """`EventLog` over lists."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._runs: dict[str, _Run] = {}
        self._watchers = Watchers()

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]:
        log = self._runs.get(run) or _Run(run)
        refusal = log.refusal(frame, expected, attempt)
        if refusal is not None:
            return self._store.later(lambda: _refuse(refusal))
        self._runs[run] = log
        log.in_flight = True
        return self._store.later(lambda: self._land(run, log, frame, attempt))

    def begin(self, run: str, frame: Frame, write: Callable[[], None]) -> Awaitable[None]:
        """A run's first frame, with the changes of `write`, which may raise `LogError`."""
        log = self._runs.get(run) or _Run(run)
        refusal = log.refusal(frame, -1, 1)
        if refusal is not None:
            return self._store.later(lambda: _refuse(refusal))
        self._runs[run] = log
        log.in_flight = True

        def act() -> None:
            try:
                write()
            except LogError:
                self._runs.pop(run, None)
                raise
            self._land(run, log, frame, 1)

        return self._store.later(act)

    async def read(self, run: str, after: int) -> Sequence[Event]:
        log = self._runs.get(run)
        return log.events[after + 1 : after + 1 + SLICE] if log else ()

    def watch(self, run: str, listener: Listener) -> Callable[[], None]:
        return self._watchers.watch(run, listener)

    async def open_runs(self) -> Sequence[str]:
        return [run for run, log in self._runs.items() if log.events and not log.finished]

    async def drop(self, runs: Sequence[str]) -> None:
        for run in runs:
            if log := self._runs.pop(run, None):
                log.dropped = True
                self._watchers.tell(run, ())

    def _land(self, run: str, log: _Run, frame: Frame, attempt: int) -> None:
        if log.dropped:
            raise Fenced(f"the run {run} was dropped")
        log.land(frame.last, attempt, finished=frame.ends)
        log.events.extend(frame.events)
        if frame.events:
            self._watchers.tell(run, frame.events)


class MemoryRecords:
    """`Records` over dictionaries."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._buckets: dict[str, dict[str, Record]] = {}

    async def get(self, bucket: str, key: str) -> Record | None:
        return self._buckets.get(bucket, {}).get(key)

    def put(
        self,
        bucket: str,
        key: str,
        value: bytes,
        *,
        revision: int | None = None,
        expires: int = 0,
    ) -> Awaitable[int]:
        return self._store.later(lambda: self._put(bucket, key, value, revision, expires))

    def _put(self, bucket: str, key: str, value: bytes, revision: int | None, expires: int) -> int:
        records = self._buckets.setdefault(bucket, {})
        now = records[key].revision if key in records else 0
        if revision is not None and revision != now:
            raise RevisionMismatch(f"{bucket}/{key} is at revision {now}, not {revision}")
        records[key] = Record(key, value, now + 1, expires)
        return now + 1

    def delete(self, bucket: str, key: str) -> Awaitable[None]:
        def remove() -> None:
            self._buckets.get(bucket, {}).pop(key, None)

        return self._store.later(remove)

    def change(self, change: Change) -> Awaitable[None]:
        return self._store.later(lambda: self.change_all((change,)))

    def change_all(self, changes: Sequence[Change]) -> None:
        """Make all changes now, or none. Raises `LogError`."""
        values = [
            (change, change.apply(self._buckets.get(change.bucket, {}).get(change.key)))
            for change in changes
        ]
        for change, value in values:
            if value is not None:
                self._put(change.bucket, change.key, value.value, None, value.expires)

    async def scan(
        self, bucket: str, *, after: str = "", limit: int = 100, newest_first: bool = False
    ) -> Sequence[Record]:
        records = self._buckets.get(bucket, {})
        keys = sorted(records, reverse=newest_first)
        if after:
            keys = [key for key in keys if (key < after if newest_first else key > after)]
        return [records[key] for key in keys[:limit]]

    async def due(self, bucket: str, now: int, limit: int = 100) -> Sequence[Record]:
        records = self._buckets.get(bucket, {}).values()
        return [record for record in records if 0 < record.expires <= now][:limit]


class MemoryStore:
    """`Store` whose data are lost with it."""

    def __init__(self) -> None:
        self._log = MemoryLog(self)
        self._records = MemoryRecords(self)
        self.log: EventLog = self._log
        self.records: Records = self._records
        self._closed = False

    def begin(
        self, run: str, frame: Frame, *, before: Sequence[Change], beside: Sequence[Change]
    ) -> Awaitable[None]:
        return self._log.begin(run, frame, lambda: self._records.change_all((*before, *beside)))

    async def open(self) -> None:
        """Accept appends, also after it was closed: its data are still there."""
        self._closed = False

    async def close(self) -> None:
        """Complete earlier calls, then refuse further ones."""
        await asyncio.sleep(0)
        self._closed = True

    def later(self, act: Callable[[], Result]) -> Awaitable[Result]:
        """Do `act` in a later turn of the loop, in the order of the calls."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def resolve() -> None:
            try:
                if self._closed:
                    raise LogError("the store is closed")
                result = act()
            except LogError as error:
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

        loop.call_soon(resolve)
        return future


def _refuse(refusal: Fenced) -> None:
    raise refusal
