"""The log contract over NATS: one server, and a cluster of three."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Generator, Sequence

import pytest

from tailrace.log.contract import Store
from tailrace.log.stores.nats import layout as layouts
from tailrace.log.stores.nats.client import Client
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.store import NatsStore
from tests.contracts.log_contract import LogContract
from tests.support.nats_servers import Node, cluster


@pytest.fixture(scope="module", params=[1, 3])
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Sequence[Node], None, None]:
    with cluster(tmp_path_factory.mktemp("nats"), request.param) as made:
        yield made


async def made(nodes: Sequence[Node]) -> NatsStore:
    """A store of a new installation, not open yet."""
    urls = [node.url for node in nodes]
    layout = Layout(f"t{secrets.token_hex(4)}", shards=2, replicas=len(nodes))
    client = Client(urls)
    await client.open()
    await layouts.create(client, layout)
    await client.close()
    return NatsStore(urls, layout)


class TestNatsStore(LogContract):
    """NATS keeps the promises that memory and SQLite keep."""

    @pytest.fixture
    async def store(self, nodes: Sequence[Node]) -> AsyncGenerator[Store, None]:
        store = await made(nodes)
        await store.open()
        yield store
        await store.close()
