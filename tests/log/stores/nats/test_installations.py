"""Unsuitable servers and streams: each is refused, or a warning is logged, with a sentence that gives the
reason."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tailrace.errors import LogError
from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.log.stores.nats import layout as layouts
from tailrace.log.stores.nats import safety
from tailrace.log.stores.nats.client import Client
from tailrace.log.stores.nats.layout import SECOND, Layout
from tailrace.log.stores.nats.store import NatsStore
from tests.support import nats_stores
from tests.support.logs import RUN, log, text
from tests.support.nats_servers import Node, Settings, cluster, free_ports


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    """Small servers: they have little space, accept only small messages, and write to disk late."""
    settings = Settings(max_payload="256KB", sync="10s", max_file="3MB")
    with cluster(tmp_path_factory.mktemp("nats"), 1, settings) as made:
        yield made


@dataclass
class Wrong:
    """A stream with a wrong setting, and the message about it."""

    kind: str
    changes: dict[str, Any]
    said: str


WRONG = [
    Wrong("RUNS-1", {"republish": None}, "republish is None and must be"),
    Wrong("RUNS-1", {"allow_direct": False}, "allow_direct is False and must be True"),
    Wrong("RUNS-0", {"max_bytes": 1000}, "max_bytes is 1000 and must be -1"),
    Wrong("RUNS-0", {"max_msgs": 10}, "max_msgs is 10 and must be -1"),
    Wrong(
        "RECORDS",
        {"max_age": 60 * SECOND, "duplicate_window": SECOND},
        "max_age is 60000000000 and must be 0",
    ),
    Wrong("JOBS", {"retention": "limits"}, "retention is 'limits' and must be 'workqueue'"),
]


@pytest.mark.parametrize(
    "wrong", WRONG, ids=lambda wrong: f"{wrong.kind} {', '.join(wrong.changes)}"
)
async def test_a_stream_of_another_program_is_read(nodes: Sequence[Node], wrong: Wrong) -> None:
    layout = Layout(f"t{secrets.token_hex(4)}", shards=2, replicas=1)
    client = Client([node.url for node in nodes])
    await client.open()
    name = layout.stream(wrong.kind)
    asked = next(each for each in layout.streams() if each["name"] == name)
    given = {key: value for key, value in {**asked, **wrong.changes}.items() if value is not None}
    await client.ask(f"STREAM.CREATE.{name}", **given)
    with pytest.raises(LogError) as refused:
        await layouts.create(client, layout)
    assert f"the stream {name} is not as it must be: " in str(refused.value)
    assert wrong.said in str(refused.value)
    await client.close()


async def test_streams_that_keep_too_short_are_refused_until_they_are_made_to(
    nodes: Sequence[Node],
) -> None:
    layout = await nats_stores.installation(nodes)
    longer = msgspec.structs.replace(layout, retention_seconds=layout.retention_seconds * 3)
    client = Client([node.url for node in nodes])
    await client.open()
    with pytest.raises(
        LogError, match=r"keeps events for 2592000 s, .* 7776000 s: `tailrace engine init`"
    ):
        await layouts.check(client, longer)
    assert await layouts.create(client, longer) == 1
    await layouts.check(client, longer)
    await client.close()


@pytest.mark.parametrize("shards", [1, 3])
async def test_another_number_of_shards_is_refused_and_nothing_is_made(
    nodes: Sequence[Node], shards: int
) -> None:
    layout = await nats_stores.installation(nodes)
    other = msgspec.structs.replace(layout, shards=shards)
    client = Client([node.url for node in nodes])
    await client.open()
    for work in (layouts.check, layouts.create):
        with pytest.raises(LogError, match=rf"has 2 shards, and \[engine\] shards is {shards}"):
            await work(client, other)
    await layouts.check(client, layout)
    await client.close()


async def test_a_stream_that_keeps_longer_will_do(nodes: Sequence[Node]) -> None:
    layout = await nats_stores.installation(nodes)
    shorter = msgspec.structs.replace(layout, retention_seconds=3600)
    store = nats_stores.store(nodes, shorter)
    await store.open()
    await store.close()


async def test_subjects_that_another_stream_owns(nodes: Sequence[Node]) -> None:
    layout = Layout(f"t{secrets.token_hex(4)}", shards=1, replicas=1)
    client = Client([node.url for node in nodes])
    await client.open()
    await client.ask("STREAM.CREATE.theirs", name="theirs", subjects=[f"{layout.name}.>"])
    with pytest.raises(
        LogError, match=f"the stream {layout.name}-RUNS-0 cannot be made: subjects overlap"
    ):
        await layouts.create(client, layout)
    await client.ask("STREAM.DELETE.theirs")
    await client.close()


async def test_streams_that_are_not_there(nodes: Sequence[Node]) -> None:
    store = nats_stores.store(nodes, Layout("nobodys"))
    with pytest.raises(
        LogError, match="the stream nobodys-RUNS-0 does not exist: run `tailrace engine init`"
    ):
        await store.open()


async def test_another_lease(nodes: Sequence[Node]) -> None:
    layout = await nats_stores.installation(nodes, lease=5.0)
    store = nats_stores.store(nodes, msgspec.structs.replace(layout, lease=2.5))
    with pytest.raises(LogError, match=r"the lease is 5 s there and 2\.5 s here"):
        await store.open()


@pytest.mark.timeout(20)
async def test_no_nats_server_is_reachable() -> None:
    urls = [f"nats://127.0.0.1:{port}" for port in free_ports(2)]
    with pytest.raises(
        LogError, match=f"no NATS server answers at {urls[0]}, {urls[1]}: .*Connect call failed"
    ):
        await NatsStore(urls, Layout()).open()


async def test_a_server_that_is_too_old() -> None:
    """The server states its version before anything else."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        about = (
            b'{"server_id":"A","version":"2.10.29","max_payload":1048576,"proto":1,"headers":true}'
        )
        writer.write(b"INFO " + about + b"\r\n")
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(LogError, match=rf"{url} is 2\.10\.29: 2\.11\.0 is the oldest that will do"):
        await NatsStore([url], Layout()).open()
    server.close()


async def test_an_event_that_is_larger_than_a_message(nodes: Sequence[Node]) -> None:
    store = nats_stores.store(nodes, await nats_stores.installation(nodes))
    await store.open()
    events = log(text(0, secrets.token_hex(300_000)), end=t.RunCompleted())
    with pytest.raises(
        LogError, match=r"bytes is more than the servers allow \(`max_payload`: 262144\)"
    ):
        await store.log.append(RUN, frame(events), expected=-1, attempt=1)
    assert not await store.log.read(RUN, -1)
    await store.close()


async def test_storage_that_is_full(nodes: Sequence[Node]) -> None:
    """This is the last test of the file: nothing can be stored after it."""
    layout = await nats_stores.installation(nodes)
    store = nats_stores.store(nodes, layout)
    await store.open()
    events = log(text(0, secrets.token_hex(100_000)), end=t.RunCompleted())
    stored: list[str] = []

    async def fill() -> None:
        while True:
            run = f"run{len(stored)}"
            await store.log.append(run, frame(events), expected=-1, attempt=1)
            stored.append(run)

    with pytest.raises(LogError, match=r"no room left for streams \(`max_file`\)"):
        await fill()
    with pytest.raises(LogError, match="no room left"):
        await store.records.put("runs", "a", b"x" * 1000)
    for run in stored:
        assert await store.log.read(run, -1) == events
    assert not await store.log.read(f"run{len(stored)}", -1)

    client = Client([node.url for node in nodes])
    await client.open()
    assert await safety.unsafe(client, layout, [nodes[0].monitoring]) == [
        "the server has max_payload 262144: large events need 8388608",
        *(
            f"the stream {each['name']} has num_replicas 1: with fewer than 3, events are lost "
            "or stand still when one machine fails"
            for each in layout.streams()
        ),
        "the server n0 has max_payload 262144: large events need 8388608",
        "the server n0 has sync_interval 10 s: acknowledged events of that long are lost when the power "
        "fails; set `sync_interval: always`",
        "the server n0 has used 100% of its storage (`max_file`)",
    ]
    await client.close()
    await store.close()
