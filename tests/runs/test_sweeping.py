"""When a sweep takes place, and what happens to runs that no worker has (issue 13, 7 and 10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from msgspec.structs import replace

from tailrace.errors import Expired, LogError
from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs.owner import Owner
from tailrace.runs.settings import HOUR
from tailrace.runs.sweeping import JUMP, Doubt, SweepMark, confirm
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import ending, opening
from tests.support.house import NOBODY, Fake, House, open_house

DAY = 24 * HOUR
Sweep = tuple[int, int, int, bool]


async def talk(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    yield ending(context.state)


# Each sweep: what the clock says, what a steady clock says, when the last sweep was (-1: there was none), and
# whether there may be one.
CLOCKS: dict[str, list[Sweep]] = {
    "the first of a folder": [(5 * DAY, 0, -1, True)],
    "every minute": [(60_000, 0, 0, True), (120_000, 60_000, 60_000, True)],
    "30 days ahead": [(30 * DAY, 0, 0, False), (30 * DAY + 60_000, 60_000, 0, False)],
    "a day back": [(DAY, 0, 2 * DAY, False), (DAY + 60_000, 60_000, 2 * DAY, False)],
    "stopped for a night, then an hour by the same clock": [
        (DAY, 0, 0, False),
        (DAY + HOUR // 2, HOUR // 2, 0, False),
        (DAY + HOUR, HOUR, 0, True),
    ],
    "it jumps again meanwhile": [
        (DAY, 0, 0, False),
        (9 * DAY, HOUR, 0, False),
        (9 * DAY + HOUR, 2 * HOUR, 0, True),
    ],
    "it is set right again": [(30 * DAY, 0, 0, False), (60_000, 60_000, 0, True)],
    "another process sweeps by another clock": [
        (30 * DAY, 0, 0, False),
        (30 * DAY + HOUR, HOUR, HOUR, False),
        (30 * DAY + 2 * HOUR, 2 * HOUR, 2 * HOUR, False),
    ],
}


@pytest.mark.parametrize("case", CLOCKS)
def test_a_clock_that_jumped_is_not_believed(case: str) -> None:
    doubt = Doubt()
    for now, steady, at, believed in CLOCKS[case]:
        mark = None if at < 0 else SweepMark(at)
        assert doubt.believes(mark, now, steady) == believed, (now, steady)


@pytest.mark.parametrize("off", [-JUMP, 1 - JUMP, JUMP - 1, JUMP])
def test_an_hour_is_the_limit(off: int) -> None:
    assert Doubt().believes(SweepMark(DAY), DAY + off, 0) == (abs(off) < JUMP)


def test_an_operator_can_confirm_the_clock() -> None:
    doubt = Doubt()
    assert not doubt.believes(SweepMark(0), 30 * DAY, 0)
    assert doubt.believes(SweepMark(0, confirmed_at=30 * DAY - 60_000), 30 * DAY, 0)
    assert not doubt.believes(SweepMark(0, confirmed_at=30 * DAY), 60 * DAY, 60_000)


async def _again(store: MemoryStore, now: int) -> House:
    """Another process on the store, when the clock shows `now`, after the tasks of its start."""
    house = House(Fake(talk), store)
    house.now = now
    await house.supervisor.open()
    for _ in range(300):
        await asyncio.sleep(0)
    return house


async def test_a_start_sweeps_and_a_start_with_another_clock_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = await open_house(Fake(talk))
    run = await house.start()
    await house.finished(run)
    await house.supervisor.close()
    for minutes in range(
        30, 24 * 60 + 30, 30
    ):  # a server that crashes from time to time sweeps each time
        house = await _again(house.store, house.now + 30 * 60_000)
        expired = (await house.directory.record(run)).status == "expired"  # type: ignore[union-attr]
        assert expired == (minutes >= 24 * 60), minutes
        await house.supervisor.close()
    with pytest.raises(Expired):
        await house.directory.find(run, Owner("local"))
    other = await _again(house.store, house.now + 30 * DAY)
    assert await other.directory.record(run) is not None, "the tombstone stays"
    assert "720.0 h away" in caplog.text
    await confirm(other.store.records, other.now)
    await other.supervisor.close()
    last = await _again(house.store, other.now)
    assert await last.directory.record(run) is None, "somebody said that the clock is right"
    await last.supervisor.close()


async def test_a_run_that_lost_its_worker_is_taken_up(caplog: pytest.LogCaptureFixture) -> None:
    house = await open_house(Fake(talk))
    run = await house.start()
    await house.finished(run)
    record = await house.directory.record(run)
    assert record is not None
    store = MemoryStore()
    started = (await house.directory.events(run))[:1]
    await house.supervisor.close()
    house = House(Fake(talk), store)
    await house.supervisor.open()
    # A state that no path of the code leaves behind: a run in progress without a worker.
    await store.log.append(run, frame(started), expected=-1, attempt=1)
    await house.directory.write(replace(record, status="in_progress"), expires=1)
    assert await house.sweeper.sweep(house.supervisor) == 0
    assert "has no worker" in caplog.text
    state = await house.finished(run)
    assert state.end == t.RunCompleted()
    assert state.attempt == 2
    await house.supervisor.close()


async def test_what_one_run_s_log_does_not_allow_keeps_no_other_from_expiring() -> None:
    house = await open_house(Fake(talk))
    runs = [await house.start() for _ in range(3)]
    for run in runs:
        await house.finished(run)
    read = house.store.log.read

    async def damaged(run: str, after: int) -> Sequence[t.Event]:
        if run == runs[0]:
            raise LogError("a bad page")
        return await read(run, after)

    house.store.log.read = damaged  # type: ignore[method-assign]
    house.now += DAY + 1
    assert await house.sweeper.sweep(house.supervisor) == 2
    house.store.log.read = read  # type: ignore[method-assign]
    house.now += HOUR
    assert await house.sweeper.sweep(house.supervisor) == 1
    await house.supervisor.close()


async def test_what_expired_is_in_no_list() -> None:
    house = await open_house(Fake(talk))
    old = await house.start()
    await house.finished(old)
    await house.sweeper.sweep(NOBODY)
    house.now += 23 * HOUR
    new = await house.start()
    await house.finished(new)
    for hours, left in ((0, [new, old]), (2, [new]), (23, [])):
        house.now += hours * HOUR
        await house.sweeper.sweep(NOBODY)
        assert [each.run for each in (await house.directory.page(Owner("local"))).runs] == left
    for run in (old, new):  # their records still exist
        with pytest.raises(Expired):
            await house.directory.find(f"job_{run}", Owner("local"))
    await house.supervisor.close()
