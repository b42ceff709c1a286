"""An open stream while its log does not answer: its reader receives heartbeats, and the stream can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import pytest
from starlette.types import Message

from tailrace.errors import Unavailable
from tailrace.events.types import Event
from tailrace.http import connection
from tailrace.http.event_stream import PING, SSE, EventStream, StreamSettings
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs.owner import Owner
from tailrace.service.caller import Caller
from tailrace.service.lifecycle import Shutdown
from tailrace.service.projection import Projections
from tailrace.service.run_service import Reading
from tailrace.service.subscription import Subscription
from tailrace.service.views import View
from tests.support.nats_load import Recorder

PINGS = 3


class Wire:
    """The client's side of the connection, in place of the server's own protocol."""

    def __init__(self) -> None:
        self.is_gone = self.paused = False
        self.on_disconnect: Callable[[], None] | None = None
        self.written: list[bytes] = []
        self.heard = asyncio.Event()

    def write(self, frames: bytes) -> bool:
        self.written.append(frames)
        if len(self.written) == PINGS:
            self.heard.set()
        return True

    def cut(self) -> None:
        self.is_gone = True


class Ticking(EventStream):
    """A stream that counts the moments at which it may send a heartbeat."""

    ticks = 0

    def _tick(self) -> None:
        self.ticks += 1
        super()._tick()


class Stuck:
    """A stream whose log answers on request."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.wire = Wire()
        self.shutdown = Shutdown()

    async def read(self) -> None:
        """All of the stream, as the server calls it."""
        store = MemoryStore()
        await store.open()
        read = store.log.read

        async def stuck(run: str, after: int) -> Sequence[Event]:
            await self.answers.wait()
            return await read(run, after)

        store.log.read = stuck  # type: ignore[method-assign]
        subscription = Subscription(Projections(store), ("run", None), Recorder)
        who = Owner("t")
        reading = Reading(
            Caller(owner=who, maker=who), "run", View(None, Recorder), subscription, nullcontext()
        )
        settings = StreamSettings(heartbeat_seconds=0.01)
        self.stream = stream = Ticking(reading, SSE, {}, settings=settings, shutdown=self.shutdown)
        scope = {"type": "http", "state": {}, "extensions": {connection.EXTENSION: self.wire}}
        await stream(scope, _never, _ignored)


async def _ignored(message: Message) -> None:
    pass


async def _never() -> Message:
    raise AssertionError("the connection tells when the client leaves")


async def test_heartbeats_come_while_the_log_has_no_leader() -> None:
    stuck = Stuck()
    reading = asyncio.create_task(stuck.read())
    async with asyncio.timeout(10):
        await stuck.wire.heard.wait()
    assert stuck.wire.written == [PING] * PINGS
    assert stuck.stream.ticks == PINGS, "the first time already"
    stuck.answers.set()
    stuck.stream.cut()
    await reading


async def test_a_server_that_stops_waits_for_no_log_that_does_not_answer() -> None:
    stuck = Stuck()
    reading = asyncio.create_task(stuck.read())
    async with asyncio.timeout(10):
        await stuck.wire.heard.wait()
        stuck.shutdown.start()
        await reading  # and raises nothing
    assert stuck.wire.is_gone, "the body ends as if it were whole"


async def test_a_stream_that_is_cancelled_by_others_is_cancelled() -> None:
    stuck = Stuck()
    reading = asyncio.create_task(stuck.read())
    async with asyncio.timeout(10):
        await stuck.wire.heard.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_request_for_a_stream_that_did_not_begin_is_503() -> None:
    shutdown = Shutdown()
    asking = asyncio.create_task(shutdown.unless_stopped(asyncio.Event().wait()))
    await asyncio.sleep(0)
    shutdown.start()
    with pytest.raises(Unavailable):
        await asking
