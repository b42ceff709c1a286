"""The stop of this process, for what waits in it: waits end, streams are cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from tailrace.errors import Unavailable

Result = TypeVar("Result")


class Shutdown:
    """Everything in this process that waits for a run or for the log. `started` turns true when it stops."""

    def __init__(self) -> None:
        self.started = False
        self._events: set[asyncio.Event] = set()
        self._readers: set[asyncio.Task[Any]] = set()
        self._streams: set[Callable[[], None]] = set()

    async def wait(self, event: asyncio.Event) -> None:
        """Wait for an event, or until the process stops."""
        self._events.add(event)
        try:
            await event.wait()
        finally:
            self._events.discard(event)

    async def unless_stopped(self, step: Awaitable[Result]) -> Result:
        """The result of a step that reads the log. Raises `Unavailable` when the process stops first: without
        a leader the log may not answer for a long time."""
        task = asyncio.current_task()
        assert task is not None
        self._readers.add(task)
        try:
            return await step
        except asyncio.CancelledError:
            if not self.started or task.uncancel():
                raise  # somebody else cancelled the task
            raise Unavailable("The server is restarting; try again in a moment.") from None
        finally:
            self._readers.discard(task)

    @contextmanager
    def cuts(self, stream: Callable[[], None]) -> Generator[None, None, None]:
        """Call `stream` when the process stops in this context."""
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)

    def start(self) -> None:
        """Wake all that wait, and cut all streams."""
        self.started = True
        for event in self._events:
            event.set()
        for task in self._readers:
            task.cancel()
        for cut in tuple(self._streams):
            cut()
