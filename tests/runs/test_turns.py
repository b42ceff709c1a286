"""Concurrent turns of one conversation: in one process, in two, and after a process died in one."""

from __future__ import annotations

import asyncio

import pytest

from tailrace.errors import Conflict
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs import turns
from tailrace.runs.membership import Membership
from tailrace.runs.turns import BUCKET, HOLD_MS, Turns
from tests.support.works import Calls


async def overlap(taking: list[Turns]) -> int:
    """The maximum number of turns of one conversation that were in progress at the same time."""
    now = most = 0

    async def turn(turns: Turns) -> None:
        nonlocal now, most
        async with turns.take("conv"):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(turn(each) for each in taking * 4))
    return most


async def opened() -> MemoryStore:
    store = MemoryStore()
    await store.open()
    return store


async def member(calls: Calls) -> Membership:
    """A live process of a cluster."""
    made = Membership(lambda: calls, works=True)
    await made.join(lambda _: False)
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LOOK_SECONDS", 0.0)


async def test_turns_of_one_process_need_no_record() -> None:
    store = await opened()
    alone = Turns(store, lambda: 0, None)
    assert await overlap([alone]) == 1
    async with alone.take("conv"):
        assert await store.records.get(BUCKET, "conv") is None


async def test_turns_of_processes_begin_one_after_the_other() -> None:
    store = await opened()
    calls = Calls()
    assert await overlap([Turns(store, lambda: 0, await member(calls)) for _ in range(3)]) == 1
    assert await store.records.get(BUCKET, "conv") is None, "nothing is left"


async def test_a_process_that_died_in_its_turn_delays_no_other() -> None:
    store, calls = await opened(), Calls()
    one, other = await member(calls), await member(calls)
    await Turns(store, lambda: 0, one).take("conv").__aenter__()
    del calls.answers[f"process.{one.name}"]
    async with Turns(store, lambda: 0, other).take("conv"):
        pass


async def test_a_process_that_is_stuck_in_its_turn_delays_others_only_briefly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.05)
    store, now = await opened(), 1_000
    calls = Calls()
    one, other = [Turns(store, lambda: now, await member(calls)) for _ in range(2)]
    dead = one.take("conv")
    await dead.__aenter__()
    with pytest.raises(Conflict, match="Another turn"):
        async with other.take("conv"):
            pass
    now += HOLD_MS
    async with other.take("conv"):
        await dead.__aexit__(
            None, None, None
        )  # it was only slow: another process holds its lock now
        assert await store.records.get(BUCKET, "conv") is not None
