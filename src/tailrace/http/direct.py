"""Writing to a client without waking a task: a small subclass of uvicorn's protocol offers it.

Measured (speed.md): a task switch per stream and frame costs as much as all the rest of the path. So
each request's scope carries a `Connection`; a stream that waits for frames lets the projection write
through it. Under any other ASGI server there is none, and streams use plain `send`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

EXTENSION = "tailrace.connection"
WRITE_HIGH_WATER = 16_384
"""Bytes that may wait in the process for one client before its stream counts as slow."""


class Connection:
    """The client's side of one request. `left`, where somebody sets it, is called when the client is gone,
    so that no task has to wait for that."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self.left: Callable[[], None] | None = None
        self._cycle = cycle

    def write(self, frames: bytes) -> bool:
        """Write a piece of a chunked body now; False when the client is slow, gone or not chunked."""
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.disconnected or not cycle.chunked_encoding:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(frames), frames))
        return True

    @property
    def gone(self) -> bool:
        """Whether the client has left already."""
        return bool(self._cycle.disconnected)

    @property
    def paused(self) -> bool:
        """Whether more than `WRITE_HIGH_WATER` waits for the client."""
        return self._cycle.flow.write_paused

    async def writable(self) -> None:
        """Wait until the client has taken what was written, or is gone."""
        await self._cycle.flow.drain()

    def cut(self) -> None:
        """Send what was written, then close in the middle of the body: the client sees it is not whole."""
        self._cycle.disconnected = True
        self._cycle.transport.close()
        self._cycle.message_event.set()

    def drop(self) -> None:
        """Close at once and forget what a dead client has not taken; `cut` would wait for it for ever."""
        self._cycle.disconnected = True
        self._cycle.transport.abort()
        self._cycle.message_event.set()


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a `Connection` in each request's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        connection, self._served = self._served, None
        if connection is not None and connection.left is not None:
            connection.left()

    _served: Connection | None = None
    """The request that is being answered; those pipelined behind it wait."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast("dict[str, Any]", cycle.scope)
        self._served = scope.setdefault("extensions", {})[EXTENSION] = Connection(cycle)
        super()._start_asgi_task(cycle, app)


def connection(scope: Scope) -> Connection | None:
    """The connection of a request, where the server offers one."""
    return cast("Connection | None", scope.get("extensions", {}).get(EXTENSION))
