"""What a tail tells when answers come late, and when one of them cannot be had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence

import pytest

from tailrace.errors import LogError
from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.events.types import Event
from tailrace.log.stores.nats import frames
from tailrace.log.stores.nats.client import Client, Headers
from tailrace.log.stores.nats.store import NatsStore
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
    """Have JetStream do something behind the store's back."""
    client = Client([node.url for node in nodes])
    await client.open()
    await client.ask(method, **fields)
    await client.close()


async def test_an_old_answer_that_there_is_nothing_drops_no_run(
    store: NatsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question is asked before the first append, its answer comes after it."""
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


async def test_a_log_whose_head_is_gone_is_none_any_more(nodes: Sequence[Node]) -> None:
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
