"""Servers of a cluster die, freeze and return under load: acknowledged data stays unchanged."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

import pytest

from tailrace.errors import LogError
from tailrace.events.stored import frame
from tailrace.log.stores.nats.client import Client
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.log import CLOSE_SECONDS
from tests.support import nats_stores
from tests.support.logs import RUN, log, text
from tests.support.nats_load import Load, loaded
from tests.support.nats_servers import Node, cluster
from tests.support.waiting import lasting, until

# nats-py leaves connections to a frozen server to the garbage collector, which closes them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*StreamWriter:pytest.PytestUnraisableExceptionWarning"
)

RUNS = 30
FRAME = frame(log(text(0, "hello")))
FROZEN_SECONDS = 6.0
"""In most cases longer than the other servers wait before they elect another leader."""
QUORUM_SECONDS = 8.0
LEFT_SECONDS = 9.0


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with cluster(tmp_path_factory.mktemp("nats"), 3) as made:
        yield made


@pytest.fixture
async def layout(nodes: Sequence[Node]) -> Layout:
    return await nats_stores.installation(nodes)


@pytest.fixture
async def load(nodes: Sequence[Node], layout: Layout) -> AsyncGenerator[Load, None]:
    async with loaded(nodes, layout, RUNS) as load:
        yield load


async def leader(nodes: Sequence[Node], stream: str) -> Node:
    """The leader of a stream, once all of its replicas are present and up to date."""
    client = Client([node.url for node in nodes])
    await client.open()
    try:
        about: dict[str, Any] = {}

        async def is_whole() -> bool:
            about.update(
                (await client.insist(lambda: client.ask(f"STREAM.INFO.{stream}")))["cluster"]
            )
            replicas = about.get("replicas") or []
            return bool(about.get("leader")) and all(each["current"] for each in replicas)

        await until(is_whole, 60)
        return next(node for node in nodes if node.name == about["leader"])
    finally:
        await client.close()


@pytest.mark.long
@pytest.mark.timeout(60)
async def test_servers_are_killed_and_frozen(
    nodes: Sequence[Node], layout: Layout, load: Load
) -> None:
    await load.goes_on()
    first = await leader(nodes, layout.runs(0))
    first.send(signal.SIGKILL)
    await load.goes_on()
    first.start()
    now = await leader(nodes, layout.runs(0))
    other = next(node for node in nodes if node not in (first, now))
    other.send(signal.SIGKILL)
    await load.goes_on()
    other.start()
    frozen = await leader(nodes, layout.runs(0))
    frozen.send(signal.SIGSTOP)
    await lasting(FROZEN_SECONDS)
    frozen.send(signal.SIGCONT)
    await load.goes_on()
    await load.end()
    await load.check()


@pytest.mark.timeout(60)
async def test_without_a_quorum_runs_wait_and_continue_afterwards(
    nodes: Sequence[Node], load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    await load.goes_on()
    for node in nodes[1:]:
        node.send(signal.SIGSTOP)
    await lasting(1.0)  # a pending append is acknowledged, or waits
    before = load.at
    await lasting(QUORUM_SECONDS)
    assert load.at == before, "nobody may acknowledge anything"
    assert "still trying" in caplog.text
    assert len(caplog.records) < RUNS, "one line for all that wait"
    for node in nodes[1:]:
        node.send(signal.SIGCONT)
    await load.goes_on()
    await load.end()
    await load.check()


@pytest.mark.timeout(60)
async def test_all_servers_are_killed_at_once_and_then_restarted_in_turn(
    nodes: Sequence[Node], layout: Layout, load: Load
) -> None:
    await load.goes_on()
    for node in nodes:
        node.send(signal.SIGKILL)
    for node in nodes:
        node.start()
    await load.goes_on()
    for node in nodes:
        await leader(nodes, layout.runs(0))
        node.send(signal.SIGTERM)
        node.start()
        await load.goes_on()
    await load.end()
    await load.check()


@pytest.mark.timeout(40)
async def test_a_silent_server_is_abandoned(nodes: Sequence[Node]) -> None:
    client = Client([nodes[0].url])  # this server tells it the addresses of the others
    await client.open()
    await client.flush()
    nodes[0].send(signal.SIGSTOP)
    try:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await client.insist(client.flush)
        assert loop.time() - begun < LEFT_SECONDS
    finally:
        nodes[0].send(signal.SIGCONT)
        await client.close()


@pytest.mark.timeout(40)
async def test_a_store_closes_without_a_quorum(nodes: Sequence[Node], layout: Layout) -> None:
    store = nats_stores.store(nodes, layout)
    await store.open()
    for node in nodes:
        node.send(signal.SIGSTOP)
    try:
        append = asyncio.ensure_future(store.log.append(RUN, FRAME, expected=-1, attempt=1))
        async with asyncio.timeout(CLOSE_SECONDS + 5):
            await store.close()
        with pytest.raises(LogError):
            await append
    finally:
        for node in nodes:
            node.send(signal.SIGCONT)
