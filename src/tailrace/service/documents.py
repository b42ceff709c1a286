"""A run as one document: its maximum size, and when it is made in a thread.

A small document is made at once. A large one is made in a thread, so that no other request waits for it, and
one after the other, so that many requests at the same time do not take the memory of many documents.
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
"""The reply to a cancellation has the output of runs up to this size; it must come at once."""

Document = TypeVar("Document")


class Documents:
    """Makes documents of runs with logs of up to `most` bytes, 0 for any size."""

    def __init__(self, directory: Directory, most: int) -> None:
        self._directory = directory
        self.most = most
        self._large = asyncio.Lock()

    async def of_events(self, run: str, make: Callable[[Sequence[Event]], Document]) -> Document:
        """The document that `make` makes of a run's events. Raises `NotFound`, `TooLarge`."""
        try:
            return make(await self._events(run, SMALL_BYTES))
        except TooLarge:
            async with self._large:
                await self._check(run)
                return await asyncio.to_thread(make, await self._events(run, self.most))

    async def of_state(self, run: str, make: Callable[[RunState], Document]) -> Document:
        """The document that `make` makes of a run's state. Raises `NotFound`, `TooLarge`."""
        try:
            return make(await self._directory.state(run, SMALL_BYTES))
        except TooLarge:
            async with self._large:
                await self._check(run)
                return await asyncio.to_thread(make, await self._directory.state(run, self.most))

    async def of_cancelled(
        self, run: str, make: Callable[[Sequence[Event]], Document], by: str
    ) -> Document:
        """The same for a run that was just cancelled; for a large run without its output."""
        try:
            return make(await self._events(run, WITH_CANCEL))
        except TooLarge:
            return make(await self._without_content(run, by))

    async def _events(self, run: str, most: int) -> Sequence[Event]:
        events, size = await self._directory.sized_events(run, most)
        collector.count(size)  # the encoder of the document and its items refer to each other
        return events

    async def _check(self, run: str) -> None:
        """Raises `TooLarge` for a run whose record says so, before anything of it is read."""
        record = await self._directory.record(run)
        if record is not None:
            check_size(run, record.size, self.most)

    async def _without_content(self, run: str, by: str) -> Sequence[Event]:
        state = RunState()
        first = await self._directory.start(run)
        state.apply(first)
        record = await self._directory.record(run)
        end_ms = (record.ended_at if record is not None else 0) or first.ts
        return [first, state.advance(Draft(RunCancelled(by)), end_ms)]
