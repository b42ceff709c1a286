"""The contract of `WorkQueue`: a job has one worker at a time and returns from a dead one; calls reach the
process that responds. It runs over every engine that processes share.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TypeAlias

from tailrace.errors import LogError
from tailrace.log.work import Job, WorkQueue
from tests.support.patience import patient

LEASE = 1.0
"""A lease that a test can wait for, in seconds."""

Processes: TypeAlias = Callable[[float], AbstractAsyncContextManager[tuple[WorkQueue, WorkQueue]]]
"""Opens two processes of one new installation with a lease of these seconds."""


async def taken(work: WorkQueue) -> Job:
    """The next job, however long it takes."""
    while True:
        job = await work.take()
        if job is not None:
            return job


class WorkContract:
    """A subclass has a fixture `processes`."""

    async def test_an_offered_run_goes_to_one_worker(self, processes: Processes) -> None:
        async with processes(LEASE) as (one, other):
            await one.offer("a")
            await one.offer("b", after=7)
            jobs = await asyncio.gather(taken(one), taken(other))
            assert sorted((job.run, job.after) for job in jobs) == [("a", -1), ("b", 7)]
            for job in jobs:
                await job.acknowledge()
            assert await one.take() is None

    async def test_a_run_of_a_silent_worker_goes_to_another(self, processes: Processes) -> None:
        async with processes(LEASE) as (one, other):
            await one.offer("a")
            dead = await taken(one)
            job = await taken(other)
            assert job.run == dead.run
            assert (dead.deliveries, job.deliveries) == (1, 2)
            await job.acknowledge()
            assert await other.take() is None

    async def test_a_worker_that_renews_its_lease_keeps_its_run(self, processes: Processes) -> None:
        async with processes(LEASE) as (one, other):
            await one.offer("a")
            job = await taken(one)
            for _ in range(2):  # each request stays open for longer than the lease
                waiting = asyncio.create_task(other.take())
                while not waiting.done():
                    await job.beat()
                    await asyncio.wait([waiting], timeout=0.2)
                assert waiting.result() is None
            await job.acknowledge()

    async def test_a_run_that_is_given_back_continues_before_its_lease_ends(
        self, processes: Processes
    ) -> None:
        lease = 40.0
        async with processes(lease) as (one, other):
            await one.offer("a")
            job = await taken(one)
            async with asyncio.timeout(lease / 2):
                await job.give_back()
                again = await taken(other)
            assert again.run == "a"
            await again.acknowledge()

    async def test_a_call_reaches_the_process_that_responds(self, processes: Processes) -> None:
        async def respond(body: bytes) -> bytes:
            return body.upper()

        async def until(work: WorkQueue, reply: bytes | None) -> None:
            """Call until the reply is this one. The servers of a cluster learn of each other's listeners a
            moment later: until then a call may find none, or one that has left."""
            while True:
                with suppress(LogError):
                    if await work.call("run", b"hello", 0.5) == reply:
                        return

        async with asyncio.timeout(patient(30)), processes(LEASE) as (one, other):
            assert await one.call("run", b"hello", 5.0) is None
            stop = await other.answer("run", respond)
            await until(one, b"HELLO")
            await stop()
            await until(one, None)

    async def test_how_far_a_clock_is_ahead(self, processes: Processes) -> None:
        async with processes(LEASE) as (one, _):
            now = time.time_ns() // 1_000_000
            assert abs(await one.ahead(now + 7_200_000) - 7_200_000) < 5_000
            assert abs(await one.ahead(now - 7_200_000) + 7_200_000) < 5_000
