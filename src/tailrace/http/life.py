"""A server's life: its parts are opened once, drained, and closed once, whoever asks for it and how often.

Whoever serves them — the command line's server, an ASGI lifespan, an app that mounts them, `tailrace run` —
goes this way; there is no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tailrace.errors import Unavailable
from tailrace.http.event_stream import Streams
from tailrace.runs.supervisor import Supervisor


class Life:
    """Opens and closes what `supervisor` works with; `let_go` closes what models and tools hold open."""

    def __init__(
        self, supervisor: Supervisor, streams: Streams, let_go: Callable[[], Awaitable[None]]
    ) -> None:
        self._supervisor = supervisor
        self._streams = streams
        self._let_go = let_go
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether somebody has opened it."""
        return self._opening is not None

    @property
    def over(self) -> bool:
        """Whether it is closed."""
        return self._closing is not None and self._closing.done()

    async def open(self) -> None:
        """Open it, or wait until it is open. What failed is tried again by whoever comes next. Raises what
        keeps the store from being opened, `Unavailable` when it is over."""
        if self._closing is not None:
            raise Unavailable("The server shuts down; try again in a moment.")
        if self._opening is None or _failed(self._opening):
            self._opening = asyncio.create_task(self._supervisor.open())
        if not self._opening.done():
            await asyncio.shield(self._opening)

    async def drain(self) -> None:
        """Take no new runs, and let the live ones settle; everything else is served."""
        await self._supervisor.drain()

    async def close(self) -> None:
        """Drain, cut off who still reads, close what is open. Whoever comes second waits for the first."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self.drain()
        self._streams.stop()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
            await self._supervisor.close()
        await self._let_go()


def _failed(opening: asyncio.Task[None]) -> bool:
    return opening.done() and (opening.cancelled() or opening.exception() is not None)
