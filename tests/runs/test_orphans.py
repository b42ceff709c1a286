"""The state that a death leaves in the queue of real NATS servers: an offer without a run, a run without an
offer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailrace.events import ids
from tailrace.log.stores.nats.client import Client
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.work import NatsWork
from tests.http.test_deploy import until
from tests.runs.test_cluster import job
from tests.support import clusters, nats_stores
from tests.support.nats_servers import Node
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.servers import CONFIG

HURRIED = """
from functools import partial
from tailrace.assembly import instance as assembly
from tailrace.cli import main
from tailrace.runs import cluster
from tailrace.runs.settings import RunSettings

cluster.LOST_SECONDS = 2.0
assembly.RunSettings = partial(RunSettings, look=500, sweep_seconds=0.2)
main()
"""
"""A process that waits seconds where the default is minutes."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with nats_cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


def ask(nodes: Sequence[Node], work: Callable[[Client], Awaitable[Any]]) -> Any:
    """Execute a request over a connection of its own."""

    async def connected() -> Any:
        client = Client([node.url for node in nodes])
        await client.open()
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(connected())


def offers(nodes: Sequence[Node], layout: Layout) -> int:
    """The number of runs in the queue."""
    found = ask(nodes, lambda client: client.ask(f"STREAM.INFO.{layout.stream('JOBS')}"))
    return int(found["state"]["messages"])


def test_an_offer_without_a_run_is_removed(nodes: Sequence[Node], tmp_path: Path) -> None:
    """Its process died between the offer and the run's first frame."""
    layout = asyncio.run(nats_stores.installation(nodes, lease=1.0))
    ask(nodes, lambda client: NatsWork(client, layout).offer(ids.ulid(1, bytes(10))))
    assert offers(nodes, layout) == 1
    with clusters.cluster(tmp_path, clusters.config_of(layout, nodes, CONFIG)) as made:
        worker = made.add("worker").start(more=["--role", "worker"], program=HURRIED)
        until(lambda: offers(nodes, layout) == 0)
        assert "Traceback" not in worker.errors()


def test_a_run_without_an_offer_is_taken_up(nodes: Sequence[Node], tmp_path: Path) -> None:
    """The queue was lost, or an operator emptied it."""
    layout = asyncio.run(nats_stores.installation(nodes, lease=1.0))
    with clusters.cluster(tmp_path, clusters.config_of(layout, nodes, CONFIG)) as made:
        api = made.add("api").start(more=["--role", "api"], program=HURRIED)
        body = {"agent": "echo", "input": "hello there"}
        run = httpx.post(f"{api.url}/jobs", json=body, timeout=20).json()["id"]
        ask(nodes, lambda client: client.ask(f"STREAM.PURGE.{layout.stream('JOBS')}"))
        made.add("worker").start(more=["--role", "worker"], program=HURRIED)
        until(lambda: job(api, run.removeprefix("job_"))["status"] == "completed")
        assert "no worker" in "".join(each.errors() for each in made.all)
        until(lambda: offers(nodes, layout) == 0)
