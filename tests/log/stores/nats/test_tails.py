"""What a tail reports when answers arrive late, and when an answer does not arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence

import pytest

from tailrace.errors import LogError
from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.events.types import Event
from tailrace.log.stores.nats import frames, tails
from tailrace.log.stores.nats import layout as layouts
from tailrace.log.stores.nats.client import Client, Headers, OnMessage
from tailrace.log.stores.nats.store import NatsStore
from tailrace.log.stores.nats.tails import Tail
from tests.support import nats_stores
from tests.support.logs import RUN, log, text
from tests.support.nats_servers import Node, cluster

ENDED = log(text(0, *"abcdefgh"), end=t.RunCompleted())


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


@pytest.fixture
async def store(nodes: Sequence[Node]) -> AsyncGenerator[NatsStore, None]:
    store = nats_stores.store(nodes, await nats_stores.installation(nodes))
    await store.open()
    yield store
    await store.close()


async def asked(nodes: Sequence[Node], method: str, **fields: object) -> None:
    """Make JetStream do something without the knowledge of the store."""
    client = Client([node.url for node in nodes])
    await client.open()
    await client.ask(method, **fields)
    await client.close()


async def test_an_old_answer_that_there_is_nothing_drops_no_run(
    store: NatsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client asks before the first append, and the answer arrives after it."""
    asked, may_answer, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
    ask = frames.last_message

    async def late(client: Client, stream: str, subject: str) -> tuple[int, Headers, bytes] | None:
        found = await ask(client, stream, subject)
        asked.set()
        await may_answer.wait()
        answered.set()
        return found

    monkeypatch.setattr(frames, "last_message", late)
    seen: list[Sequence[Event]] = []
    store.log.watch(RUN, seen.append)
    await asked.wait()
    await store.log.append(RUN, frame(ENDED[:2]), expected=-1, attempt=1)
    may_answer.set()
    await answered.wait()
    await store.log.append(RUN, frame(ENDED[2:]), expected=1, attempt=1)
    assert [event for events in seen for event in events] == ENDED
    assert all(seen), "no empty batch: that says that the log was dropped"


async def test_a_log_without_its_head_no_longer_exists(nodes: Sequence[Node]) -> None:
    layout = await nats_stores.installation(nodes)
    writer, store = (nats_stores.store(nodes, layout) for _ in range(2))
    await writer.open()
    await store.open()
    await writer.log.append(RUN, frame(ENDED[:2]), expected=-1, attempt=1)
    await writer.log.append(RUN, frame(ENDED[2:4]), expected=1, attempt=1)
    await asked(nodes, f"STREAM.PURGE.{layout.runs(layout.shard(RUN))}", keep=1)
    dropped = asyncio.Event()

    def heard(events: Sequence[Event]) -> None:
        assert not events
        dropped.set()

    store.log.watch(RUN, heard)
    await dropped.wait()
    with pytest.raises(LogError, match=f"events 0 to 1 of {RUN} are gone"):
        await store.log.read(RUN, -1)
    assert await store.log.read(RUN, 1) == ENDED[2:4]
    await writer.close()
    await store.close()


LOST = {
    # how many of the two frames are notified, how long a tail waits for one: one way remains to find the rest
    "nothing is told": (0, 0.05),
    "the second is told": (1, 1000.0),
}


@pytest.mark.parametrize("case", LOST)
async def test_lost_notifications_are_replaced_by_reads(
    nodes: Sequence[Node], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    told, idle = LOST[case]
    monkeypatch.setattr(tails, "IDLE_SECONDS", idle)
    listen, came = Client.listen, list[bytes]()

    async def lossy(self: Client, subject: str, heard: OnMessage) -> Callable[[], Awaitable[None]]:
        def some(headers: Headers, body: bytes) -> None:
            came.append(body)
            if len(came) > 2 - told:
                heard(headers, body)

        return await listen(self, subject, some if ".live." in subject else heard)

    monkeypatch.setattr(Client, "listen", lossy)
    layout = await nats_stores.installation(nodes)
    writer, store = (nats_stores.store(nodes, layout) for _ in range(2))
    await writer.open()
    await store.open()
    seen: list[Event] = []
    all_seen = asyncio.Event()

    def heard(events: Sequence[Event]) -> None:
        seen.extend(events)
        if len(seen) == len(ENDED):
            all_seen.set()

    looked = asyncio.Event()
    look = Tail._look

    async def look_and_say(tail: Tail) -> None:
        await look(tail)
        looked.set()

    monkeypatch.setattr(Tail, "_look", look_and_say)
    store.log.watch(RUN, heard)
    await looked.wait()
    await writer.log.append(RUN, frame(ENDED[:2]), expected=-1, attempt=1)
    await writer.log.append(RUN, frame(ENDED[2:]), expected=1, attempt=1)
    await all_seen.wait()
    assert seen == ENDED
    await writer.close()
    await store.close()


async def test_a_stream_that_goes_and_comes_back_is_followed_again(
    nodes: Sequence[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "IDLE_SECONDS", 0.05)
    layout = await nats_stores.installation(nodes)
    writer, store = (nats_stores.store(nodes, layout) for _ in range(2))
    await writer.open()
    await store.open()
    refused, listened = asyncio.Event(), asyncio.Event()
    ask, listen = Client.ask, Client.listen

    async def noticed(self: Client, method: str, **fields: object) -> dict[str, object]:
        try:
            return await ask(self, method, **fields)
        except LogError:
            refused.set()
            raise

    async def deaf(self: Client, subject: str, heard: OnMessage) -> Callable[[], Awaitable[None]]:
        stop = await listen(self, subject, (lambda *_: None) if ".live." in subject else heard)
        if ".live." in subject:
            listened.set()
        return stop

    monkeypatch.setattr(Client, "listen", deaf)
    stream = layout.runs(layout.shard(RUN))
    seen: list[Event] = []
    all_seen = asyncio.Event()

    def heard(events: Sequence[Event]) -> None:
        seen.extend(events)
        all_seen.set()

    await asked(nodes, f"STREAM.DELETE.{stream}")
    monkeypatch.setattr(Client, "ask", noticed)
    store.log.watch(RUN, heard)
    await listened.wait()
    await refused.wait()
    client = Client([node.url for node in nodes])
    await client.open()
    await layouts.create(client, layout)
    await client.close()
    await writer.log.append(RUN, frame(ENDED), expected=-1, attempt=1)
    async with asyncio.timeout(10):
        await all_seen.wait()
    assert seen == ENDED
    await writer.close()
    await store.close()
