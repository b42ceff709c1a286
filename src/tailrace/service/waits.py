"""What waits in this process, to be let go when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from tailrace.errors import Unavailable

Result = TypeVar("Result")


class Waits:
    """Everything that waits for a run or for the log. `stopping` turns true when the process stops."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._reading: set[asyncio.Task[Any]] = set()
        self.stopping = False

    async def until(self, event: asyncio.Event) -> None:
        """Wait for an event, or for the process to stop."""
        self._waiting.add(event)
        try:
            await event.wait()
        finally:
            self._waiting.discard(event)

    async def answered(self, step: Awaitable[Result]) -> Result:
        """Wait for a step that may read the log. Raises `Unavailable` when the process stops meanwhile:
        without a leader the log may not answer for long."""
        task = asyncio.current_task()
        assert task is not None
        self._reading.add(task)
        try:
            return await step
        except asyncio.CancelledError:
            if not self.stopping or task.uncancel():
                raise
            raise Unavailable("The server is restarting; try again in a moment.") from None
        finally:
            self._reading.discard(task)

    def stop(self) -> None:
        """Let everything go."""
        self.stopping = True
        for event in self._waiting:
            event.set()
        for task in self._reading:
            task.cancel()
