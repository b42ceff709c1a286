"""Writing to a client without waking a task, and bounds on heads: a small subclass of uvicorn's protocol.

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

from tailrace.http.request_ids import fresh_id, lines, request_id

EXTENSION = "tailrace.connection"
WRITE_HIGH_WATER = 16_384
"""Bytes that may wait in the process for one client before its stream counts as slow."""


HEAD_BYTES = 65_536
HEADERS = 200
HEAD_SECONDS = 30.0
"""Bounds on the head of a request: its size, how many headers, how long it may take from the connection's
beginning or the reply before it."""


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

        self._begin_head()

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > HEAD_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._begin_head()

    def on_headers_complete(self) -> None:
        self._end_head()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEAD_BYTES or len(self.headers) > HEADERS:
            self._refuse()
            raise ValueError("the head of a request is too large")  # so that nobody answers it
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._end(b"400 Bad Request", msg.encode("ascii"))

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # else the next one is being answered, or waits for that
            self._wait_for_head()

    def _begin_head(self) -> None:
        self._in_head, self._head = True, 0
        self._wait_for_head()

    def _wait_for_head(self) -> None:
        if self._slow is None:
            self._slow = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _end_head(self) -> None:
        self._in_head = False
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _give_up(self) -> None:
        """The head of a request has not come in time; who is half in it, or still in the body of one that was
        answered, gets no answer."""
        self.transport.close()

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self._end(b"431 Request Header Fields Too Large")

    def _end(self, status: bytes, said: bytes = b"") -> None:
        """Answer what is no request, and close."""
        head = lines({"content-type": "text/plain", "content-length": str(len(said))})
        head += lines({"connection": "close", **request_id(fresh_id())})
        self.transport.write(b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, head, said))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end_head()
        connection, self._served = self._served, None
        if connection is not None and connection.left is not None:
            connection.left()

    _in_head = False
    _head = 0
    _slow: asyncio.TimerHandle | None = None

    _served: Connection | None = None
    """The request that is being answered; those pipelined behind it wait."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast("dict[str, Any]", cycle.scope)
        self._served = scope.setdefault("extensions", {})[EXTENSION] = Connection(cycle)
        super()._start_asgi_task(cycle, app)


def connection(scope: Scope) -> Connection | None:
    """The connection of a request, where the server offers one."""
    return cast("Connection | None", scope.get("extensions", {}).get(EXTENSION))
