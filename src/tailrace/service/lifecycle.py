"""Open, drain, close: the one lifecycle of a server, whoever serves it.

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
from collections.abc import Awaitable, Callable
from typing import Self

from tailrace.errors import Unavailable
from tailrace.runs.supervisor import Supervisor
from tailrace.service.shutdown import Shutdown


class Lifecycle:
    """`release` closes what models and tools hold open, last. Each of the three may be called more than once,
    at the same time too."""

    def __init__(
        self, supervisor: Supervisor, shutdown: Shutdown, release: Callable[[], Awaitable[None]]
    ) -> None:
        self._supervisor = supervisor
        self._shutdown = shutdown
        self._release = release
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
            self._opening = asyncio.create_task(self._supervisor.open())
        if not self._opening.done():
            await asyncio.shield(self._opening)

    async def drain(self) -> None:
        """Refuse new runs, and wait until the live ones have ended or were handed over; reads go on."""
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


def _failed(opening: asyncio.Task[None]) -> bool:
    return opening.done() and (opening.cancelled() or opening.exception() is not None)
