"""Open, drain, close: the one lifecycle of a server.

`tailrace serve`, an ASGI lifespan, an app that mounts ours, `tailrace run`, the tests and the benchmarks all
use this object, directly or as an asynchronous context manager.

| call | runs | requests and streams |
|---|---|---|
| `open` | the store opens; runs without a worker continue | served from now on |
| `drain` | new ones are refused; live ones end, or are handed over after `shutdown_seconds` | served |
| `close` | as `drain`, then the store closes | waits end, streams are cut |
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Self, TypeAlias, TypeVar

from tailrace.errors import Unavailable
from tailrace.runs.supervisor import Supervisor
from tailrace.runtimes.owned_context import OwnedContext

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
                raise  # the task itself was cancelled
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


Lifespan: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
"""Start and stop of the application that the server runs."""
LIFESPAN_SECONDS = 30.0


class Lifecycle:
    """`release` closes what models and tools hold open; `lifespan` is entered first and left last. `open`,
    `drain` and `close` may each be called more than once, also concurrently."""

    def __init__(
        self,
        supervisor: Supervisor,
        shutdown: Shutdown,
        release: Callable[[], Awaitable[None]],
        lifespan: Lifespan | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._shutdown = shutdown
        self._release = release
        self._lifespan = lifespan
        self._context: OwnedContext[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def started(self) -> bool:
        """Whether `open` was called."""
        return self._opening is not None

    @property
    def closed(self) -> bool:
        """Whether `close` has finished."""
        return self._closing is not None and self._closing.done()

    async def open(self) -> None:
        """Open the store, or wait until it is open. After a failure the next call tries again. Raises
        `LogError` when the store cannot be opened, `Unavailable` after `close`."""
        if self._closing is not None:
            raise Unavailable("The server shuts down; try again in a moment.")
        if self._opening is None or _failed(self._opening):
            self._opening = asyncio.create_task(self._open())
        if not self._opening.done():
            await asyncio.shield(self._opening)

    async def _open(self) -> None:
        """The application's own start comes first: runs that are taken over may need what it opens."""
        if self._lifespan is not None and self._context is None:
            context = OwnedContext(self._lifespan(), "lifespan")
            await context.enter()
            self._context = context
        await self._supervisor.open()

    async def drain(self) -> None:
        """Refuse new runs, and wait until the live ones have ended or were handed over; reads are served. A
        second call finds nothing left to do, so `close` drains whether or not its caller did."""
        await self._supervisor.drain()

    def cut(self) -> None:
        """End all waits and streams; `close` does so after `drain`."""
        self._shutdown.start()

    async def close(self) -> None:
        """Drain, cut, close the store. A second call waits for the first."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self.drain()
        self.cut()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
            await self._supervisor.close()
        await self._release()
        if self._context is not None:
            await self._context.leave(LIFESPAN_SECONDS)


def _failed(opening: asyncio.Task[None]) -> bool:
    return opening.done() and (opening.cancelled() or opening.exception() is not None)
