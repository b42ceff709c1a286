"""An open stream whose log does not answer: its reader hears that we are still here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from starlette.types import Message

from tailrace.events.types import Event
from tailrace.http import direct
from tailrace.http.event_stream import EventStream, Streams, StreamSettings
from tailrace.http.framing import PING, SSE
from tailrace.http.projection import Projections
from tailrace.http.subscription import Subscription
from tailrace.log.stores.memory import MemoryStore
from tests.support.nats_load import Recorder

PINGS = 3


class Wire:
    """The client's side, as the server's own protocol gives it."""

    def __init__(self) -> None:
        self.gone = self.paused = False
        self.left: Callable[[], None] | None = None
        self.written: list[bytes] = []
        self.heard = asyncio.Event()

    def write(self, frames: bytes) -> bool:
        self.written.append(frames)
        if len(self.written) == PINGS:
            self.heard.set()
        return True

    def cut(self) -> None:
        self.gone = True


async def test_heartbeats_come_while_the_log_has_no_leader() -> None:
    store, answers = MemoryStore(), asyncio.Event()
    await store.open()
    read = store.log.read

    async def stuck(run: str, after: int) -> Sequence[Event]:
        await answers.wait()
        return await read(run, after)

    async def ignored(message: Message) -> None:
        pass

    async def welcome() -> bool:
        return True

    async def never() -> Message:
        raise AssertionError("the connection tells when the client leaves")

    store.log.read = stuck  # type: ignore[method-assign]
    wire, streams = Wire(), Streams(StreamSettings(heartbeat_seconds=0.01))
    subscription = Subscription(Projections(store), ("run", None), Recorder)
    stream = EventStream(streams, subscription, nullcontext(), welcome, SSE, {})
    scope = {"type": "http", "state": {}, "extensions": {direct.EXTENSION: wire}}
    reading = asyncio.create_task(stream(scope, never, ignored))
    async with asyncio.timeout(10):
        await wire.heard.wait()
    assert wire.written == [PING] * PINGS
    answers.set()
    stream.cut()
    await reading
