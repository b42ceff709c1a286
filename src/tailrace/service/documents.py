"""A run as one document: how large it may be, and who waits while it is made.

A small one is made at once. A large one is made in a thread, so that nobody else waits for it, and one after
the other, so that many who ask for one at the same time do not take the memory of many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from tailrace.errors import TooLarge
from tailrace.events.state import RunState
from tailrace.events.types import Draft, Event, RunCancelled
from tailrace.runs.directory import Directory, check_size
from tailrace.service.memory import collector

SMALL_BYTES = 262_144
WITH_CANCEL = 1_048_576
"""A run whose log is larger is not shown in the reply to its cancellation, which is to come at once."""

Made = TypeVar("Made")


class Documents:
    """Makes documents of runs whose logs have up to `most` bytes, 0 for any."""

    def __init__(self, directory: Directory, most: int) -> None:
        self._directory = directory
        self.most = most
        self._large = asyncio.Lock()

    async def of_events(self, run: str, make: Callable[[Sequence[Event]], Made]) -> Made:
        """What `make` makes of a run's log. Raises `NotFound`, `TooLarge`."""
        try:
            return make(await self._events(run, SMALL_BYTES))
        except TooLarge:
            async with self._large:
                await self._check(run)
                return await asyncio.to_thread(make, await self._events(run, self.most))

    async def of_state(self, run: str, make: Callable[[RunState], Made]) -> Made:
        """What `make` makes of a run's state. Raises `NotFound`, `TooLarge`."""
        try:
            return make(await self._directory.state(run, SMALL_BYTES))
        except TooLarge:
            async with self._large:
                await self._check(run)
                return await asyncio.to_thread(make, await self._directory.state(run, self.most))

    async def of_cancelled(
        self, run: str, make: Callable[[Sequence[Event]], Made], by: str
    ) -> Made:
        """The same for a run that was cancelled a moment ago: when it is large, without what it said."""
        try:
            return make(await self._events(run, WITH_CANCEL))
        except TooLarge:
            return make(await self._without_content(run, by))

    async def _events(self, run: str, most: int) -> Sequence[Event]:
        events, size = await self._directory.sized_events(run, most)
        collector.count(size)  # the encoder of the document and its items refer to each other
        return events

    async def _check(self, run: str) -> None:
        """Nothing need be read of a run whose record says that it is too large. Raises `TooLarge`."""
        record = await self._directory.record(run)
        if record is not None:
            check_size(run, record.size, self.most)

    async def _without_content(self, run: str, by: str) -> Sequence[Event]:
        state = RunState()
        first = await self._directory.start(run)
        state.apply(first)
        record = await self._directory.record(run)
        ended = (record.ended if record is not None else 0) or first.ts
        return [first, state.advance(Draft(RunCancelled(by)), ended)]
