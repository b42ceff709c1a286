"""Jobs go to one worker at a time, and return from a dead one; calls reach the process that answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager

import pytest

from tailrace.log.stores.nats import frames
from tailrace.log.stores.nats.client import Client, Unreachable
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.work import NatsWork
from tailrace.log.work import Job
from tests.support import nats_stores
from tests.support.nats_servers import Node, cluster


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


@asynccontextmanager
async def two_processes(
    nodes: Sequence[Node], lease: float
) -> AsyncGenerator[tuple[NatsWork, NatsWork], None]:
    """Two processes of one installation."""
    layout = await nats_stores.installation(nodes, lease=lease)
    stores = [nats_stores.store(nodes, layout) for _ in range(2)]
    for store in stores:
        await store.open()
    yield stores[0].work, stores[1].work
    for store in stores:
        await store.close()


@pytest.fixture
async def works(nodes: Sequence[Node]) -> AsyncGenerator[tuple[NatsWork, NatsWork], None]:
    """Two processes whose lease is short enough for a test."""
    async with two_processes(nodes, 1.0) as works:
        yield works


async def taken(work: NatsWork) -> Job:
    """The next job, without a time limit."""
    while True:
        job = await work.take()
        if job is not None:
            return job


async def test_an_offered_run_goes_to_one_worker(works: tuple[NatsWork, NatsWork]) -> None:
    one, other = works
    await one.offer("a")
    await one.offer("b", after=7)
    jobs = await asyncio.gather(taken(one), taken(other))
    assert sorted((job.run, job.after) for job in jobs) == [("a", -1), ("b", 7)]
    for job in jobs:
        await job.acknowledge()
    assert await one.take() is None


async def test_a_run_of_a_silent_worker_goes_to_another(
    works: tuple[NatsWork, NatsWork],
) -> None:
    one, other = works
    await one.offer("a")
    dead = await taken(one)
    job = await taken(other)
    assert job.run == dead.run
    await job.acknowledge()
    assert await other.take() is None


async def test_a_worker_that_renews_its_lease_keeps_its_run(
    works: tuple[NatsWork, NatsWork],
) -> None:
    one, other = works
    await one.offer("a")
    job = await taken(one)
    for _ in range(2):  # each question stays open for longer than the lease
        waiting = asyncio.create_task(other.take())
        while not waiting.done():
            await job.beat()
            await asyncio.wait([waiting], timeout=0.2)
        assert waiting.result() is None
    await job.acknowledge()


async def test_a_run_that_is_given_back_continues_before_its_lease_ends(
    nodes: Sequence[Node],
) -> None:
    lease = 40.0
    async with two_processes(nodes, lease) as (one, other):
        await one.offer("a")
        job = await taken(one)
        async with asyncio.timeout(lease / 2):
            await job.give_back()
            again = await taken(other)
        assert again.run == "a"
        await again.acknowledge()


async def test_a_call_reaches_the_process_that_responds(works: tuple[NatsWork, NatsWork]) -> None:
    one, other = works

    async def respond(body: bytes) -> bytes:
        return body.upper()

    assert await one.call("run", b"hello", 5.0) is None
    stop = await other.answer("run", respond)
    assert await one.call("run", b"hello", 5.0) == b"HELLO"
    await stop()
    assert await one.call("run", b"hello", 5.0) is None


async def test_an_unanswered_request_is_one_line(nodes: Sequence[Node]) -> None:
    client = Client([node.url for node in nodes])
    await client.open()
    with pytest.raises(Unreachable) as job:
        await NatsWork(client, Layout("nobody")).take()
    with pytest.raises(Unreachable) as frame:
        await frames.after(client, Layout("nobody"), "run", 0)
    await client.close()
    assert str(job.value) == "no jobs: 503"
    assert str(frame.value) == "direct get: 503"


async def test_how_far_a_clock_is_ahead(works: tuple[NatsWork, NatsWork]) -> None:
    now = time.time_ns() // 1_000_000
    assert abs(await works[0].ahead(now + 7_200_000) - 7_200_000) < 5_000
    assert abs(await works[0].ahead(now - 7_200_000) + 7_200_000) < 5_000
