"""Runs that may be what ends their workers begin one after the other, so that none is cut off with
another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tailrace.events import abandoning
from tailrace.events.types import Draft, Event, RunAttempt
from tailrace.log.contract import Store
from tailrace.runs.settings import RunSettings
from tailrace.runs.writer import RunWriter

ALL_SECONDS = 60.0
"""So long may all that wait take together, as long as each has `SHORTEST_SECONDS`."""
SHORTEST_SECONDS = 0.5


class Suspects:
    """Those of this process."""

    def __init__(self, store: Store, settings: RunSettings) -> None:
        self._store = store
        self._settings = settings
        self._alone = asyncio.Lock()
        self._waiting = 0
        self._watching: set[asyncio.Task[None]] = set()

    async def turn(self, run: str, writer: RunWriter, following: RunAttempt) -> None:
        """Begin an attempt when no other suspect is at the same point. Raises `LogError`."""
        self._waiting += 1
        try:
            await self._alone.acquire()
        finally:
            self._waiting -= 1
        try:
            await take(writer, following)
        finally:
            task = asyncio.create_task(self._give_turn(run, writer))
            self._watching.add(task)
            task.add_done_callback(self._watching.discard)

    async def _give_turn(self, run: str, writer: RunWriter) -> None:
        """Let the next suspect begin once this one is none any more: it got further, ended, or had its
        time."""
        further = asyncio.Event()

        def on_events(_: Sequence[Event]) -> None:
            if writer.state.stalls == 0 or writer.state.phase != "running":
                further.set()

        stop = self._store.log.watch(run, on_events)
        try:
            async with asyncio.timeout(self._alone_seconds()):
                on_events(())
                await further.wait()
        except TimeoutError:
            pass
        finally:
            stop()
            self._alone.release()

    def _alone_seconds(self) -> float:
        """The more wait, the shorter each is alone: after an outage with many restarts all may wait."""
        share = ALL_SECONDS / (1 + self._waiting)
        return min(max(share, SHORTEST_SECONDS), self._settings.alone_seconds)


async def take(writer: RunWriter, following: RunAttempt) -> None:
    """Take a run over: replies that were cut off wait for their agent's next one. Raises `LogError`."""
    writer.add([Draft(following)])
    writer.add(abandoning.leftovers(writer.state))
    await writer.flush()
