"""A run's frames as the body of an HTTP reply: whole frames only, a heartbeat, no wait for a dead client.

The client's readiness sets the pace: frames that gathered while it was busy go out in one write. A client
that takes nothing for `write_seconds` is dropped. A client that leaves ends its stream, not the run. When the
server stops, or the key that opened the stream is no longer valid, the stream is cut in the middle of its
body, so that no client takes that for the end of the run; a surface whose clients cannot handle that
(`StreamFraming.ends`) gets a last frame instead. The heartbeat of server-sent events is the one that every
measured client survives: a comment line without a blank line after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from contextlib import suppress

from msgspec import Struct
from starlette.types import Message, Receive, Scope, Send

from tailrace.errors import LogError, Unavailable
from tailrace.http.connection import Connection, connection
from tailrace.protocols.ag_ui.wire import GOODBYE as AGUI_GOODBYE
from tailrace.service.lifecycle import Shutdown
from tailrace.service.run_service import Reading
from tailrace.service.views import Frames


class StreamFraming(Struct, frozen=True):
    """The reply's `headers`; `ping`, the heartbeat; `goodbye`, sent when the server stops; `ends`: the body
    then ends like a complete one."""

    headers: Mapping[str, str]
    ping: bytes
    goodbye: bytes
    ends: bool = False


SSE_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
PING = b": ping\n"
GOODBYE = b": the server is restarting; ask again for the rest\n"

SSE = StreamFraming(SSE_HEADERS, PING, GOODBYE)

LINES = StreamFraming(
    {
        "content-type": "application/x-ndjson; charset=utf-8",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
    },
    ping=b"\n",
    goodbye=b"\n",
)
"""Readers skip empty lines, so an empty line is the heartbeat."""

UI = StreamFraming({**SSE_HEADERS, "x-vercel-ai-ui-message-stream": "v1"}, PING, GOODBYE)
"""AI SDK UI message streams. No measured client reads the header; other tools may."""

AGUI = StreamFraming(SSE_HEADERS, PING, AGUI_GOODBYE, ends=True)
"""AG-UI. Its client ends the whole Node process when a connection breaks."""

FRAMINGS: Mapping[Frames, StreamFraming] = {"sse": SSE, "lines": LINES, "ui": UI, "agui": AGUI}
"""The framings by the names that views use."""


logger = logging.getLogger("tailrace.http")


class StreamSettings(Struct, frozen=True):
    """Seconds of silence before a heartbeat; seconds a client may take nothing before it is dropped."""

    heartbeat_seconds: float = 15.0
    write_seconds: float = 60.0


class EventStream:
    """An ASGI application: one reply that streams one reading of a run."""

    def __init__(
        self,
        reading: Reading,
        framing: StreamFraming,
        headers: Mapping[str, str],
        *,
        settings: StreamSettings,
        shutdown: Shutdown,
    ) -> None:
        """`headers` are those of this reply, besides the surface's own. Whether the caller may still read is
        checked with each heartbeat."""
        self.headers = {**framing.headers, **headers}
        self._reading = reading
        self._subscription = reading.subscription
        self._framing = framing
        self._settings = settings
        self._shutdown = shutdown
        self._connection: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._key_check: asyncio.Task[None] | None = None
        self._last_position = -1
        self._ping = False
        self._cut = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._connection = connection(scope)
        with self._reading.reader_count, self._shutdown.cuts(self.cut):
            watcher = self._watch_client(receive)
            try:
                await send(self._start())
                if self._connection is not None:
                    self._subscription.direct = self._connection.write
                self._last_position = self._subscription.position
                self._set_timer()
                if await self._send_frames(send):
                    await send({"type": "http.response.body", "body": b""})
            finally:
                self._subscription.close()
                if self._connection is not None:
                    # Without this reference there is no cycle: a stream holds much memory.
                    self._connection.on_disconnect = None
                if self._timer is not None:
                    self._timer.cancel()
                if self._key_check is not None:
                    self._key_check.cancel()
                if watcher is not None:
                    watcher.cancel()
                    with suppress(asyncio.CancelledError):
                        await watcher

    def cut(self) -> None:
        """End the stream in the middle of its body."""
        self._cut = True
        self._subscription.interrupt()

    async def _send_frames(self, send: Send) -> bool:
        """Send all frames; False when the stream was cut or the client left."""
        if self._shutdown.started:
            self.cut()
        while await self._client_is_ready():
            data = await self._next()
            if data is None:
                return await self._end_dropped(send) if self._subscription.is_dropped else True
            if self._cut:
                return await self._say_goodbye(send)
            if self._ping and not data:
                data = self._framing.ping
            self._ping = False
            if data and not self._write(data):
                piece: Message = {"type": "http.response.body", "body": data, "more_body": True}
                if not await self._in_time(send(piece)):
                    return False
            data = b""  # a client that stalls now costs what its connection holds, no copy of it
        return False

    async def _next(self) -> bytes | None:
        try:
            return await self._shutdown.unless_stopped(self._subscription.next())
        except Unavailable:
            return b""
        except LogError as error:
            logger.error("a stream is cut: %s", error)
            self.cut()
            return b""

    def _write(self, data: bytes) -> bool:
        return self._connection is not None and self._connection.write(data)

    async def _client_is_ready(self) -> bool:
        """Wait until the client has read what was sent; False when it does not in time."""
        if self._connection is None or not self._connection.paused:
            return True
        return await self._in_time(self._connection.writable())

    async def _in_time(self, step: Awaitable[None]) -> bool:
        """Wait for the client; False when `write_seconds` pass first: the client is dropped."""
        try:
            async with asyncio.timeout(self._settings.write_seconds):
                await step
        except TimeoutError:
            if self._connection is not None:
                self._connection.drop()
            return False
        return True

    async def _end_dropped(self, send: Send) -> bool:
        """The run was deleted meanwhile; whether the body ends whole."""
        if self._framing.ends:
            return await self._say_goodbye(send)
        self._cut_connection()
        return False

    async def _say_goodbye(self, send: Send) -> bool:
        """Say that the server stops, or nothing to a client that left; whether the body ends whole."""
        was_written = self._write(self._framing.goodbye)
        if not self._framing.ends:
            self._cut_connection()
        elif not was_written:  # nothing else says that the stream is incomplete
            last: Message = {
                "type": "http.response.body",
                "body": self._framing.goodbye,
                "more_body": True,
            }
            return await self._in_time(send(last))
        return self._framing.ends

    def _cut_connection(self) -> None:
        if self._connection is not None:
            self._connection.cut()

    def _start(self) -> Message:
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        return {"type": "http.response.start", "status": 200, "headers": headers}

    def _set_timer(self) -> None:
        seconds = self._settings.heartbeat_seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def _tick(self) -> None:
        """Ping when nothing was sent since the last tick and nothing is being sent now."""
        self._set_timer()
        if self._key_check is None or self._key_check.done():
            self._key_check = asyncio.create_task(self._check_key())
        quiet = self._subscription.position == self._last_position and self._subscription.waiting
        self._last_position = self._subscription.position
        if quiet and not self._write(self._framing.ping):
            self._ping = True
            self._subscription.interrupt()

    async def _check_key(self) -> None:
        if not await self._reading.caller.is_valid():
            self.cut()

    def _watch_client(self, receive: Receive) -> asyncio.Task[None] | None:
        """Notice that the client leaves: the connection says so; where there is none, a task waits for it."""
        if self._connection is None:
            return asyncio.create_task(self._wait_for_disconnect(receive))
        self._connection.on_disconnect = self.cut
        if self._connection.is_gone:
            self.cut()
        return None

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.cut()
