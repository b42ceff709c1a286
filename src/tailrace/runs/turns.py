"""Turns of a conversation begin one after the other: in this process by a lock, among many by a record.

The record says who begins a turn and until when that counts at most, so that the death of a process holds
nobody up for longer. Processes' clocks need to agree to some seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

import msgspec

from tailrace.errors import Conflict, LogError, RevisionMismatch
from tailrace.events.versions import Shape
from tailrace.log.contract import Store
from tailrace.runs.writer import Clock

BUCKET = "turns"
WAIT_SECONDS = 30.0
"""How long a turn waits for its conversation before it is told to try again."""
HELD = 40_000
"""Milliseconds for which a turn that begins keeps others out at most: longer than it may wait itself for the
turn before it to end."""
LOOK_SECONDS = 0.05
"""Between two looks at a record that another process holds."""


class _Turn(msgspec.Struct, frozen=True):
    until: int


SHAPE = Shape("turn", _Turn, version=2, upgrades={1: lambda until: {"until": until}})
"""Version 1 was a bare number."""


class Turns:
    """Whose turn it is. `shared`: other processes take turns in the same conversations."""

    def __init__(self, store: Store, clock: Clock, *, shared: bool) -> None:
        self._store = store
        self._clock = clock
        self._shared = shared
        self._here: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, conversation: str) -> AsyncGenerator[None, None]:
        """While it lasts nobody else begins a turn. Raises `Conflict` when that takes too long."""
        lock = self._here.setdefault(conversation, asyncio.Lock())
        until = 0
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await lock.acquire()
                try:
                    until = await self._hold(conversation) if self._shared else 0
                except BaseException:
                    lock.release()
                    raise
        except TimeoutError:
            raise Conflict("Another turn of this conversation is about to begin.") from None
        try:
            yield
        finally:
            lock.release()
            if self._clock() < until:  # else it may be another's by now
                with suppress(LogError):
                    await self._store.records.delete(BUCKET, conversation)

    async def _hold(self, conversation: str) -> int:
        """Take the record; returns until when it is ours."""
        while True:
            record = await self._store.records.get(BUCKET, conversation)
            now = self._clock()
            if record is None or SHAPE.decode(record.value).until <= now:
                revision = 0 if record is None else record.revision
                with suppress(RevisionMismatch):
                    await self._store.records.put(
                        BUCKET, conversation, SHAPE.encode(_Turn(now + HELD)), revision=revision
                    )
                    return now + HELD
            await asyncio.sleep(LOOK_SECONDS)
