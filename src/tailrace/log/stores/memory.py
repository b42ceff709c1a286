"""A store in memory: the whole contract, nothing kept. For tests, and for `tailrace run`.

Appends resolve in a later turn of the event loop, like a disk's, so that nothing depends on an order
that only memory has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from tailrace.errors import Fenced, LogError, RevisionMismatch
from tailrace.events.stored import Frame
from tailrace.events.types import Event
from tailrace.log.contract import EventLog, Listener, Record, Records

SLICE = 1_000
"""Events in one read at most."""

Result = TypeVar("Result")


class _Run:
    """One run's log. `claimed` is the last event that is durable or on its way."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.claimed = -1
        self.attempt = 0
        self.ended = False


class MemoryLog:
    """`EventLog` over lists."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._runs: dict[str, _Run] = {}
        self._listeners: dict[str, list[Listener]] = {}

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]:
        known = self._runs.setdefault(run, _Run())
        if known.ended or known.claimed != expected or frame.first != expected + 1:
            return self._store.later(lambda: _raise(Fenced(f"the log is at {known.claimed}")))
        if attempt < known.attempt:
            return self._store.later(lambda: _raise(Fenced(f"attempt {known.attempt} writes")))
        known.claimed, known.attempt, known.ended = frame.last, attempt, frame.ends
        return self._store.later(lambda: self._publish(run, known, frame.events))

    async def read(self, run: str, after: int) -> Sequence[Event]:
        known = self._runs.get(run)
        return known.events[after + 1 : after + 1 + SLICE] if known else ()

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
        return [run for run, known in self._runs.items() if known.events and not known.ended]

    async def drop(self, runs: Sequence[str]) -> None:
        for run in runs:
            self._runs.pop(run, None)

    def _publish(self, run: str, known: _Run, events: Iterable[Event]) -> None:
        fresh = tuple(events)
        known.events.extend(fresh)
        for listener in tuple(self._listeners.get(run, ())):
            listener(fresh)


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
    """`Store` that forgets everything when it goes."""

    def __init__(self) -> None:
        self.log: EventLog = MemoryLog(self)
        self.records: Records = MemoryRecords(self)
        self._closed = False

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Let what was asked for before happen, then refuse."""
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


def _raise(error: LogError) -> None:
    raise error
