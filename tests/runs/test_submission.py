"""A request that is sent twice is one run: to one process and to two, with a key and without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any

import msgspec
import pytest

from tailrace.errors import LogError, ModelFailed, Unavailable
from tailrace.events import types as t
from tailrace.events.stored import Frame
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs import cluster, supervisor
from tailrace.runs.cluster import ARRIVAL_SECONDS
from tailrace.runs.owner import Owner
from tailrace.runs.submission import LARGE_BYTES, Submission
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import opening
from tests.support.house import Fake, open_house
from tests.support.jobs import Offers, doors, nothing
from tests.support.logs import request
from tests.support.patience import patient

LARGE = b"x" * (4 * LARGE_BYTES)


async def model_fails(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    raise ModelFailed("The model server answered 429.", code="rate_limit_exceeded")


async def test_equal_submissions_at_once_are_one_run() -> None:
    house = await open_house(Fake(nothing))
    once = Submission(key="k", body=b"body", retry=False)
    starts = [
        house.supervisor.start(request(), owner=Owner("local"), submission=once) for _ in range(8)
    ]
    made = await asyncio.gather(*starts)
    assert len({run for run, _ in made}) == 1
    assert sum(new for _, new in made) == 1
    await house.supervisor.close()


@pytest.mark.parametrize(
    "again", [Submission("k", LARGE, retry=False), Submission("", LARGE, retry=True)]
)
async def test_a_large_request_comes_again_while_the_first_one_is_hashed(again: Submission) -> None:
    house = await open_house(Fake(nothing))
    start = partial(house.supervisor.start, request(), owner=Owner("local"))
    first = await start(submission=msgspec.structs.replace(again, retry=False))
    made = await asyncio.gather(*(start(submission=again) for _ in range(3)))
    assert made == [(first[0], False)] * 3
    await house.supervisor.close()


async def test_a_server_that_stops_while_a_large_request_is_hashed_starts_no_run() -> None:
    house = await open_house(Fake(nothing))
    once = Submission("", LARGE, retry=False)
    starting = asyncio.create_task(
        house.supervisor.start(request(), owner=Owner("local"), submission=once)
    )
    await asyncio.sleep(0)
    await house.supervisor.drain()
    with pytest.raises(Unavailable):
        await starting
    await house.supervisor.close()


async def test_a_key_of_a_deleted_run_starts_one_new_run() -> None:
    house = await open_house(Fake(nothing))
    once = Submission(key="k", body=b"body", retry=False)
    first, _ = await house.supervisor.start(request(), owner=Owner("local"), submission=once)
    await house.finished(first)
    await house.sweeper.forget(await house.directory.find(first, Owner("local")))
    starts = [
        house.supervisor.start(request(), owner=Owner("local"), submission=once) for _ in range(4)
    ]
    made = {run for run, _ in await asyncio.gather(*starts)}
    assert len(made) == 1
    assert first not in made
    await house.supervisor.close()


async def test_a_retry_is_not_given_the_failure_it_retries() -> None:
    house = await open_house(Fake(model_fails))
    asked = Submission(key="", body=b"body", retry=False)
    first, _ = await house.supervisor.start(request(), owner=Owner("local"), submission=asked)
    await house.finished(first)
    again = Submission(key="", body=b"body", retry=True)
    second, new = await house.supervisor.start(request(), owner=Owner("local"), submission=again)
    assert new
    assert second != first
    await house.finished(second)
    await house.supervisor.close()


async def test_a_retry_finds_the_run_by_what_became_durable_with_its_start() -> None:
    """The connection of the first request broke while its run was being written to disk."""
    house = await open_house(Fake(nothing))
    asked = Submission(key="", body=b"body", retry=False)
    again = Submission(key="", body=b"body", retry=True)
    (first, new), *others = await asyncio.gather(
        *(
            house.supervisor.start(request(), owner=Owner("local"), submission=each)
            for each in (asked, again, again)
        )
    )
    assert new
    assert others == [(first, False)] * 2
    await house.supervisor.close()


async def test_a_claim_of_another_process_is_waited_for_until_its_run_is_there() -> None:
    store = MemoryStore()
    looked, written = asyncio.Event(), asyncio.Event()
    read, begin = store.log.read, store.begin

    async def watched(run: str, after: int) -> Sequence[t.Event]:
        events = await read(run, after)
        if not events:
            looked.set()
        return events

    async def slow(run: str, frame: Frame, **more: Any) -> None:
        await looked.wait()
        await begin(run, frame, **more)
        written.set()

    store.log.read, store.begin = watched, slow  # type: ignore[method-assign]
    houses = await doors(store, Offers())
    once = Submission(key="k", body=b"body", retry=False)
    first, second = [
        asyncio.create_task(
            house.supervisor.start(request(), owner=Owner("local"), submission=once)
        )
        for house in houses
    ]
    assert await first == ((await second)[0], True)
    assert not (await second)[1], "it found the claim before the run, and waited"
    assert written.is_set()


async def test_a_claim_of_another_process_is_waited_for_while_there_is_no_leader() -> None:
    """An election takes up to ten seconds, and the run is written after it nevertheless."""
    jobs = Offers()
    jobs.leader.clear()
    houses = await doors(MemoryStore(), jobs)
    once = Submission(key="k", body=b"body", retry=False)
    first, second = [
        asyncio.create_task(
            house.supervisor.start(request(), owner=Owner("local"), submission=once)
        )
        for house in houses
    ]
    await asyncio.wait([first, second], timeout=2 * sum(ARRIVAL_SECONDS))
    assert len(jobs.offered) == 1, "the run that is claimed comes, late"
    jobs.leader.set()
    assert [await first, await second] == [(jobs.offered[0], True), (jobs.offered[0], False)]


async def test_a_claim_of_a_hanging_process_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Offers()
    jobs.leader.clear()
    one, other = await doors(MemoryStore(), jobs)
    once = Submission(key="k", body=b"body", retry=False)
    first = asyncio.create_task(
        one.supervisor.start(request(), owner=Owner("local"), submission=once)
    )
    while not jobs.offered:
        await asyncio.sleep(0)
    other.now += 600_000  # its clock is ahead, which is not a reason to start a second run
    second = asyncio.create_task(
        other.supervisor.start(request(), owner=Owner("local"), submission=once)
    )
    await asyncio.wait([second], timeout=2 * sum(ARRIVAL_SECONDS))
    assert len(jobs.offered) == 1
    second.cancel()
    monkeypatch.setattr(cluster, "CLAIMED_SECONDS", 0.0)
    hangs, jobs.leader = jobs.leader, asyncio.Event()
    jobs.leader.set()
    run, new = await other.supervisor.start(request(), owner=Owner("local"), submission=once)
    assert new
    assert run != jobs.offered[0]
    hangs.set()
    assert await first == (run, False), "it finds its own run barred"


async def test_a_claim_of_a_dead_process_delays_no_request() -> None:
    """Killed between its claim and its run: a client that sends the same request again need not wait as for
    a slow one."""
    jobs = Offers()
    jobs.leader.clear()
    one, other = await doors(MemoryStore(), jobs)
    once = Submission(key="k", body=b"body", retry=False)
    first = asyncio.create_task(
        one.supervisor.start(request(), owner=Owner("local"), submission=once)
    )
    while not jobs.offered:
        await asyncio.sleep(0)
    del jobs.answers[f"process.{one.supervisor._executor.name}"]
    first.cancel()  # it makes no more progress, and does not clean up either
    jobs.leader.set()
    async with asyncio.timeout(5):
        made = await other.supervisor.start(request(), owner=Owner("local"), submission=once)
    assert made == (jobs.offered[-1], True)


async def test_a_start_that_was_refused_leaves_its_key_to_the_next() -> None:
    jobs = Offers()
    jobs.lost = True
    one, other = await doors(MemoryStore(), jobs)
    once = Submission(key="k", body=b"body", retry=False)
    with pytest.raises(LogError):
        await one.supervisor.start(request(), owner=Owner("local"), submission=once)
    jobs.lost = False
    async with asyncio.timeout(patient(0.5)):
        run, new = await other.supervisor.start(request(), owner=Owner("local"), submission=once)
    assert (run, new) == (jobs.offered[1], True)


@pytest.mark.parametrize("key", ["", "k"])
async def test_a_start_that_the_engine_keeps_waiting_is_refused(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "START_SECONDS", 0.02)
    jobs = Offers()
    jobs.leader.clear()
    one, _ = await doors(MemoryStore(), jobs)
    once = Submission(key=key, body=b"body", retry=False)
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await one.supervisor.start(request(), owner=Owner("local"), submission=once)
    jobs.leader.set()
    monkeypatch.undo()
    _, new = await one.supervisor.start(request(), owner=Owner("local"), submission=once)
    assert new, "what was refused may be sent again"
