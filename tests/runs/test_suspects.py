"""Runs that may have ended their workers: each attempt counts, and one starts at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import ending, opening
from tests.support.house import House
from tests.support.jobs import Jobs, Offered, hangs, house, some_turns
from tests.support.waiting import until


async def test_a_run_that_was_handed_out_before_begins_a_new_attempt() -> None:
    """Its previous worker may have ended before it wrote an event: each attempt counts."""
    store, jobs = MemoryStore(), Jobs()
    worker = await house(store, jobs, hangs)
    run = await worker.start()
    await jobs.waiting.put(Offered(run, deliveries=2))
    await until(lambda: worker.supervisor.live() == 1)
    await some_turns()
    state = await worker.directory.state(run)
    assert (state.attempt, state.stalls) == (2, 1)
    await worker.supervisor.close()


async def two_suspects(api: House, store: MemoryStore) -> list[str]:
    """Start two runs whose second attempt has started."""
    runs = [await api.start() for _ in range(2)]
    for run in runs:
        state = await api.directory.state(run)
        taken = state.advance(t.Draft(t.RunAttempt(2, "its worker was gone")), 0)
        await store.log.append(run, frame([taken]), expected=taken.seq - 1, attempt=2)
    return runs


async def test_suspects_begin_one_after_the_other() -> None:
    """Two runs were cut off twice in a row: the second starts after the first has made progress."""
    go = asyncio.Event()

    async def gets_further(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
        yield opening(context.state, "helper") if not context.state.nodes else ()
        await go.wait()
        yield ending(context.state)

    store, jobs = MemoryStore(), Jobs()
    api = await house(store, jobs, hangs, works=False)
    runs = await two_suspects(api, store)
    worker = await house(store, jobs, gets_further)
    for run in runs:
        await jobs.waiting.put(Offered(run, deliveries=3))
    await until(lambda: worker.supervisor.live() == 2)
    await some_turns()
    attempts = [(await worker.directory.state(run)).attempt for run in runs]
    assert sorted(attempts) == [2, 3]
    go.set()
    for run in runs:
        assert (await worker.finished(run)).end == t.RunCompleted()
    for each in (worker, api):
        await each.supervisor.close()


async def test_a_suspect_that_waits_for_its_turn_can_be_cancelled() -> None:
    store, jobs = MemoryStore(), Jobs()
    api = await house(store, jobs, hangs, works=False)
    runs = await two_suspects(api, store)
    worker = await house(store, jobs, hangs)
    for run in runs:
        await jobs.waiting.put(Offered(run, deliveries=3))
    await until(lambda: worker.supervisor.live() == 2)
    await some_turns()
    for run in runs:
        await worker.supervisor.cancel(run, "me")
        assert (await worker.directory.state(run)).end == t.RunCancelled("me")
    for each in (worker, api):
        await each.supervisor.close()
