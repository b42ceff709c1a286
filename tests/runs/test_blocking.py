"""Runs that block their worker's event loop, or end its process: no run ends two workers."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from tests.support import blockers, clusters
from tests.support.blockers import BLOCKING, begun, ended, start
from tests.support.nats_servers import Node
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.servers import select_a_moment

LEASE = 3.0
STUCK = "The run was stopped: 3 attempts in a row were cut off before the agent got any further."


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with nats_cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


@pytest.fixture
def processes(nodes: Sequence[Node], tmp_path: Path) -> Generator[clusters.Cluster, None, None]:
    config = asyncio.run(clusters.config(nodes, blockers.CONFIG, lease=LEASE))
    made = clusters.Cluster(tmp_path, config, blockers.SCENARIO, blockers.AGENTS)
    yield made
    for child in made.all:
        child.kill()


WAYS = [
    pytest.param(each, marks=[] if each in ("spins", "swallows") else pytest.mark.long)
    for each in BLOCKING
]


@pytest.mark.parametrize("agent", WAYS)
def test_a_run_that_holds_the_loop_fails_where_it_is(
    processes: clusters.Cluster, agent: str
) -> None:
    api = processes.start("api")
    workers = [processes.start("worker") for _ in range(2)]
    others = [start(api, "counts") for _ in range(6)]
    run = start(api, agent)
    found = ended(api, run)
    assert found["status"] == "failed"
    assert found["error"]["message"] == "The agent blocked its worker for more than 1.5 s."
    assert [ended(api, other)["status"] for other in others] == ["completed"] * 6
    assert begun(api).count(agent) == 1, "nobody else took it"
    for worker in workers:
        assert worker.process is not None
        assert worker.process.poll() is None


@pytest.mark.timeout(120)
def test_a_run_that_ends_its_workers_is_stopped(processes: clusters.Cluster) -> None:
    """Workers are started again when they end; the other runs of these workers complete in the end."""
    api = processes.start("api")
    workers = [processes.start("worker") for _ in range(2)]
    others = [start(api, "counts") for _ in range(4)]
    run = start(api, "exits")
    blockers.let_exit(api)
    while blockers.job(api, run)["status"] == "in_progress":
        for worker in workers:
            assert worker.process is not None
            if worker.process.poll() is not None:
                worker.start(more=["--role", "worker"], doomed=True)
        select_a_moment()
    assert blockers.job(api, run)["error"]["message"] == STUCK
    for worker in workers:
        assert worker.process is not None
        if worker.process.poll() is not None:
            worker.start(more=["--role", "worker"])
    assert [ended(api, other)["status"] for other in others] == ["completed"] * 4
    assert begun(api).count("exits") == 3
