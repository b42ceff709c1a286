"""A run's frames as the body of an HTTP reply: whole frames only, a heartbeat, no wait for the dead.

Readiness sets the pace: what gathered while the client was busy goes in one write. A client that takes
nothing for `write_seconds` is dropped. A client that leaves ends its stream, not the run. When the
server stops, or the key that opened a stream is good no longer, streams are cut in the middle of the
body, so that no client takes the end for the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, suppress

from msgspec import Struct
from starlette.types import Message, Receive, Scope, Send

from tailrace.errors import LogError, Unavailable
from tailrace.http.direct import Connection, connection
from tailrace.http.framing import Framing
from tailrace.service.subscription import Subscription
from tailrace.service.waits import Waits

logger = logging.getLogger("tailrace.http")


class StreamSettings(Struct, frozen=True):
    """Seconds of silence before a heartbeat; seconds a client may take nothing before it is dropped."""

    heartbeat_seconds: float = 15.0
    write_seconds: float = 60.0


class Streams(Waits):
    """All open streams of this process, so that they can be told when it stops, and all else that waits."""

    def __init__(self, settings: StreamSettings) -> None:
        super().__init__()
        self.settings = settings
        self.open: set[EventStream] = set()

    def stop(self) -> None:
        """Cut every stream."""
        super().stop()
        for stream in tuple(self.open):
            stream.cut()


class EventStream:
    """An ASGI application: one reply that streams one subscription."""

    def __init__(
        self,
        streams: Streams,
        subscription: Subscription,
        reading: AbstractContextManager[None],
        welcome: Callable[[], Awaitable[bool]],
        framing: Framing,
        headers: Mapping[str, str],
    ) -> None:
        """`welcome` says whether the client may read on, asked with each heartbeat. `headers` are those of
        this very reply, besides the surface's own."""
        self._streams = streams
        self._subscription = subscription
        self._reading = reading
        self._welcome = welcome
        self._framing = framing
        self.headers = {**framing.headers, **headers}
        self._connection: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        self._seen = -1
        self._ping = False
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._connection = connection(scope)
        with self._reading:
            self._streams.open.add(self)
            watcher = self._watched(receive)
            try:
                await send(self._start())
                if self._connection is not None:
                    self._subscription.direct = self._connection.write
                self._seen = self._subscription.position
                self._arm()
                if await self._frames(send):
                    await send({"type": "http.response.body", "body": b""})
            finally:
                self._streams.open.discard(self)
                self._subscription.close()
                if self._connection is not None:
                    self._connection.left = None  # no reference cycle: what a stream held is large
                if self._timer is not None:
                    self._timer.cancel()
                if self._asking is not None:
                    self._asking.cancel()
                if watcher is not None:
                    watcher.cancel()
                    with suppress(asyncio.CancelledError):
                        await watcher

    def cut(self) -> None:
        """End the stream in the middle of its body."""
        self._gone = True
        self._subscription.interrupt()

    async def _frames(self, send: Send) -> bool:
        """Send all frames; False when the stream was cut or the client left."""
        if self._streams.stopping:
            self.cut()
        while await self._taken():
            data = await self._next()
            if data is None:
                return await self._dropped(send) if self._subscription.dropped else True
            if self._gone:
                return await self._say_goodbye(send)
            if self._ping and not data:
                data = self._framing.ping
            self._ping = False
            if data and not self._written(data):
                piece: Message = {"type": "http.response.body", "body": data, "more_body": True}
                if not await self._in_time(send(piece)):
                    return False
            data = b""  # a client that stalls now costs what its connection holds, no copy of it
        return False

    async def _next(self) -> bytes | None:
        try:
            return await self._streams.answered(self._subscription.next())
        except Unavailable:
            return b""
        except LogError as error:
            logger.error("a stream is cut: %s", error)
            self.cut()
            return b""

    def _written(self, data: bytes) -> bool:
        return self._connection is not None and self._connection.write(data)

    async def _taken(self) -> bool:
        """Wait until the client has taken what it was given; False when it does not."""
        if self._connection is None or not self._connection.paused:
            return True
        return await self._in_time(self._connection.writable())

    async def _in_time(self, step: Awaitable[None]) -> bool:
        """Wait for a step of the client's; False when it does not come in time: the client is dropped."""
        try:
            async with asyncio.timeout(self._streams.settings.write_seconds):
                await step
        except TimeoutError:
            if self._connection is not None:
                self._connection.drop()
            return False
        return True

    async def _dropped(self, send: Send) -> bool:
        """The run is gone; whether the body ends whole."""
        if self._framing.ends:
            return await self._say_goodbye(send)
        self._cut_off()
        return False

    async def _say_goodbye(self, send: Send) -> bool:
        """Say that the server stops, or nothing to a client that left; whether the body ends whole."""
        told = self._written(self._framing.goodbye)
        if not self._framing.ends:
            self._cut_off()
        elif not told:  # nothing else says that the body is not all there is
            last: Message = {
                "type": "http.response.body",
                "body": self._framing.goodbye,
                "more_body": True,
            }
            return await self._in_time(send(last))
        return self._framing.ends

    def _cut_off(self) -> None:
        if self._connection is not None:
            self._connection.cut()

    def _start(self) -> Message:
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        return {"type": "http.response.start", "status": 200, "headers": headers}

    def _arm(self) -> None:
        seconds = self._streams.settings.heartbeat_seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def _tick(self) -> None:
        """Ping when nothing was sent since the last tick and nothing is being sent now."""
        self._arm()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        quiet = self._subscription.position == self._seen and self._subscription.waiting
        self._seen = self._subscription.position
        if quiet and not (
            self._connection is not None and self._connection.write(self._framing.ping)
        ):
            self._ping = True
            self._subscription.interrupt()

    async def _ask(self) -> None:
        """Cut the stream where the client may not read on."""
        if not await self._welcome():
            self.cut()

    def _watched(self, receive: Receive) -> asyncio.Task[None] | None:
        """Notice the client leave: the connection tells, or where there is none a task waits for it."""
        if self._connection is None:
            return asyncio.create_task(self._watch(receive))
        self._connection.left = self.cut
        if self._connection.gone:
            self.cut()
        return None

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.cut()
