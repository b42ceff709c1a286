"""All contracts over NATS: one server, and a cluster of three."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest

from tailrace.log.contract import Store
from tailrace.log.work import WorkQueue
from tests.contracts.limits_contract import LimitsContract
from tests.contracts.log_contract import Hold, LogContract
from tests.contracts.work_contract import Processes, WorkContract
from tests.support import nats_stores
from tests.support.nats_servers import Node, cluster


@pytest.fixture(scope="module", params=[1, 3])
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Sequence[Node], None, None]:
    with cluster(tmp_path_factory.mktemp("nats"), request.param) as made:
        yield made


class TestNatsStore(LogContract):
    """NATS keeps the promises that memory and SQLite keep."""

    @pytest.fixture
    async def store(self, nodes: Sequence[Node]) -> AsyncGenerator[Store, None]:
        store = nats_stores.store(nodes, await nats_stores.installation(nodes))
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    def hold(self, nodes: Sequence[Node]) -> Hold:
        """All servers are frozen."""

        @contextmanager
        def held() -> Generator[None, None, None]:
            for node in nodes:
                node.freeze()
            try:
                yield
            finally:
                for node in nodes:
                    node.send(signal.SIGCONT)

        return held


class TestNatsLimits(LimitsContract):
    """Two clients count through the servers."""

    @pytest.fixture
    async def stores(self, nodes: Sequence[Node]) -> AsyncGenerator[Sequence[Store], None]:
        layout = await nats_stores.installation(nodes)
        made = [nats_stores.store(nodes, layout) for _ in range(2)]
        for store in made:
            await store.open()
        yield made
        for store in made:
            await store.close()


class TestNatsWork(WorkContract):
    """Jobs of a work queue stream, and plain requests."""

    @pytest.fixture
    def processes(self, nodes: Sequence[Node]) -> Processes:
        @asynccontextmanager
        async def opened(lease: float) -> AsyncGenerator[tuple[WorkQueue, WorkQueue], None]:
            layout = await nats_stores.installation(nodes, lease=lease)
            one, other = [nats_stores.store(nodes, layout) for _ in range(2)]
            await one.open()
            await other.open()
            yield one.work, other.work
            await other.close()
            await one.close()

        return opened
