"""Turns of a conversation start one after the other: in this process by a lock, in a cluster by a record.

The record names the process that starts a turn, and its latest end: a process that died blocks no other, one
that cannot be reached only until then. The clocks of the processes must agree within some seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any
from weakref import WeakValueDictionary

from msgspec import Struct

from tailrace.errors import Conflict, LogError, RevisionMismatch
from tailrace.events.versions import Shape
from tailrace.log.contract import Record, Store
from tailrace.runs.membership import Membership
from tailrace.runs.writer import Clock

BUCKET = "turns"
WAIT_SECONDS = 30.0
"""Time for which a turn waits for its conversation before it gets a `Conflict`."""
HOLD_MS = 40_000
"""Milliseconds for which a turn that starts keeps others out at most: longer than it may wait itself for
the end of the previous turn."""
LOOK_SECONDS = 0.05
"""Delay before a record that another process holds is read again."""


class _Turn(Struct, frozen=True):
    """The process that starts a turn, and the latest end of its claim."""

    by: str
    until: int


def _said_by_whom(old: Any) -> Any:
    """A bare number in early versions, the end of the claim."""
    return {"by": "", "until": old} if isinstance(old, int) else old


SHAPE = Shape("turn", _Turn, version=2, upgrades={1: _said_by_whom})


class Turns:
    """The order of turns. With `cluster` other processes start turns of the same conversations."""

    def __init__(self, store: Store, clock: Clock, cluster: Membership | None) -> None:
        self._store = store
        self._clock = clock
        self._cluster = cluster
        self._here: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, conversation: str) -> AsyncGenerator[None, None]:
        """In this context no other process starts a turn. Raises `Conflict` if the wait takes too long."""
        lock = self._here.setdefault(conversation, asyncio.Lock())
        until = 0
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await lock.acquire()
                try:
                    until = await self._hold(conversation, self._cluster) if self._cluster else 0
                except BaseException:
                    lock.release()
                    raise
        except TimeoutError:
            raise Conflict("Another turn of this conversation is about to begin.") from None
        try:
            yield
        finally:
            lock.release()
            if self._clock() < until:  # otherwise another process may hold it by now
                with suppress(LogError):
                    await self._store.records.delete(BUCKET, conversation)

    async def _hold(self, conversation: str, cluster: Membership) -> int:
        """Claim the record; returns the end of the claim."""
        while True:
            record = await self._store.records.get(BUCKET, conversation)
            now = self._clock()
            if record is None or await self._is_over(record, now, cluster):
                revision = 0 if record is None else record.revision
                value = SHAPE.encode(_Turn(cluster.name, now + HOLD_MS))
                with suppress(RevisionMismatch):
                    await self._store.records.put(BUCKET, conversation, value, revision=revision)
                    return now + HOLD_MS
            await asyncio.sleep(LOOK_SECONDS)

    async def _is_over(self, record: Record, now: int, cluster: Membership) -> bool:
        """Whether the process that started a turn is done with it, or dead."""
        turn = SHAPE.decode(record.value)
        return turn.until <= now or bool(turn.by and not await cluster.lives(turn.by))
