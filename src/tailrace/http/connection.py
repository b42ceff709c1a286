"""Writing to a client without waking a task.

Measured: a task switch for each stream and frame costs as much as the rest of the path. So
`uvicorn_protocol.py` puts a `Connection` into each request's scope, and while a stream waits for frames the
projection writes through it. Another ASGI server has none; there streams use plain `send`. Everything that we
use of uvicorn beyond ASGI is checked here, at import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tailrace import hooks

EXTENSION = "tailrace.connection"
WRITE_HIGH_WATER = 16_384
"""Bytes that may wait in the process for one client before its stream counts as slow."""


class Connection:
    """The client's side of one request. `on_disconnect`, if set, is called when the client leaves, so that no
    task has to wait for that."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self.on_disconnect: Callable[[], None] | None = None
        self._cycle = cycle

    def write(self, frames: bytes) -> bool:
        """Write a piece of a chunked body now; False when the client is slow, gone or not chunked."""
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.disconnected or not cycle.chunked_encoding:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(frames), frames))
        return True

    @property
    def is_gone(self) -> bool:
        """Whether the client has left already."""
        return bool(self._cycle.disconnected)

    @property
    def paused(self) -> bool:
        """Whether more than `WRITE_HIGH_WATER` waits for the client."""
        return self._cycle.flow.write_paused

    async def writable(self) -> None:
        """Wait until the client has read what was written, or is gone."""
        await self._cycle.flow.drain()

    def cut(self) -> None:
        """Send what was written, then close in the middle of the body: the client sees that it is
        incomplete."""
        self._cycle.disconnected = True
        self._cycle.transport.close()
        self._cycle.message_event.set()

    def lose(self) -> None:
        """Mark the client as gone, because it left or gets another reply."""
        self._cycle.disconnected = True
        self._cycle.message_event.set()
        if self.on_disconnect is not None:
            self.on_disconnect()

    def drop(self) -> None:
        """Close at once and discard what a dead client has not read; `cut` would wait for it."""
        self._cycle.disconnected = True
        self._cycle.transport.abort()
        self._cycle.message_event.set()


def connection(scope: Scope) -> Connection | None:
    """The connection of a request, where the server offers one."""
    return cast("Connection | None", scope.get("extensions", {}).get(EXTENSION))


NEEDS = ("uvicorn", "0.45")
METHODS = ("_start_asgi_task", "_unset_keepalive_if_required", "on_response_complete")
FIELDS = ("cycle", "flow", "headers", "loop", "parser", "pipeline", "server_state", "transport")
CYCLE_FIELDS = (
    "chunked_encoding",
    "disconnected",
    "flow",
    "keep_alive",
    "message_event",
    "more_body",
    "response_complete",
    "response_started",
    "scope",
    "transport",
    "waiting_for_100_continue",
)

hooks.require(*NEEDS, HttpToolsProtocol, *METHODS)
hooks.require_fields(*NEEDS, HttpToolsProtocol, *FIELDS)
hooks.require_fields(*NEEDS, RequestResponseCycle, *CYCLE_FIELDS)
