"""A run's life, over the memory store: it always ends; limits, retention, takeovers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from tailrace.errors import Conflict, Expired, LogError, ModelFailed, NotFound, Unavailable
from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.events.stored import Frame, frame
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs.owner import Owner
from tailrace.runs.settings import HOUR
from tailrace.runs.submission import Submission
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import NODE, ending, main_drafts, opening
from tests.support.house import NOBODY, Behave, Fake, House, open_house
from tests.support.logs import request


async def talk(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    item = len(context.state.items)
    yield main_drafts(
        [
            t.ItemStarted(item, "message"),
            t.TextDelta(item, "Hi"),
            t.ItemCompleted(item),
            t.Usage("m"),
        ]
    )
    yield ending(context.state)


async def stop_short(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    yield main_drafts([t.ItemStarted(len(context.state.items), "message")])


async def raises(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    raise ZeroDivisionError("secret key abc")


async def model_fails(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    raise ModelFailed("The model server answered 429.", code="rate_limit_exceeded")


async def breaks_the_grammar(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    yield main_drafts([t.TextDelta(7, "out of nowhere")])


async def hangs(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    yield main_drafts([t.ItemStarted(len(context.state.items), "message"), t.TextDelta(0, "Hm")])
    await asyncio.Event().wait()


async def gushes(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    yield main_drafts([t.ItemStarted(len(context.state.items), "message")])
    for _ in range(3000):
        yield main_drafts([t.TextDelta(0, "x")])


ENDINGS: list[tuple[Behave, type[object], str]] = [
    (talk, t.RunCompleted, ""),
    (stop_short, t.RunCompleted, ""),
    (gushes, t.RunCompleted, ""),
    (raises, t.RunFailed, "The agent raised ZeroDivisionError."),
    (model_fails, t.RunFailed, "The model server answered 429."),
    (breaks_the_grammar, t.RunFailed, "The agent broke the event grammar"),
]


@pytest.mark.parametrize(("behave", "end", "message"), ENDINGS)
async def test_a_run_always_ends(behave: Behave, end: type[object], message: str) -> None:
    house = await open_house(Fake(behave))
    state = await house.finished(await house.start())
    assert isinstance(state.end, end)
    assert getattr(state.end, "message", "").startswith(message)
    assert "secret" not in getattr(state.end, "message", "")
    await house.supervisor.close()


async def test_cancel_reaches_the_agent_and_ends_the_log() -> None:
    house = await open_house(Fake(hangs))
    run = await house.start()
    while not (await house.directory.state(run)).items:
        await asyncio.sleep(0)
    await house.supervisor.cancel(run, "a test")
    state = await house.directory.state(run)
    assert state.end == t.RunCancelled("a test")
    assert state.items[0].status == "incomplete"
    with pytest.raises(Conflict):
        await house.supervisor.cancel(run, "again")
    await house.supervisor.close()


async def test_a_run_ends_when_its_time_is_over() -> None:
    house = await open_house(Fake(hangs), longest_seconds=0.02)
    state = await house.finished(await house.start())
    assert state.end == t.RunIncomplete("max_seconds")
    await house.supervisor.close()


async def test_a_loop_that_is_torn_down_leaves_the_run_to_the_next_process() -> None:
    house = await open_house(Fake(hangs))
    run = await house.start()
    while not (await house.directory.state(run)).items:
        await asyncio.sleep(0)
    (task,) = (each for each in asyncio.all_tasks() if each.get_name() == f"run {run}")
    task.cancel()  # as `asyncio.run` does with all remaining tasks
    await asyncio.wait([task])
    assert not (await house.directory.state(run)).is_finished
    await house.supervisor.close()


async def test_closing_hands_over_and_opening_takes_over() -> None:
    first = await open_house(Fake(hangs))
    run = await first.start()
    while not (await first.directory.state(run)).items:
        await asyncio.sleep(0)
    await first.supervisor.drain()
    assert not (await first.directory.state(run)).is_finished
    with pytest.raises(Unavailable):
        await first.start()
    second = House(Fake(talk), first.store)
    await second.supervisor.open()
    state = await second.finished(run)
    assert state.attempt == 2
    assert [item.status for item in state.items] == ["incomplete", "completed"]
    assert state.end == t.RunCompleted()
    await second.supervisor.close()


@pytest.mark.parametrize("why", ["cannot continue", "no longer exists", "were cut off"])
async def test_a_run_that_cannot_continue_is_ended(why: str) -> None:
    first = await open_house(Fake(hangs))
    run = await first.start()
    cut_off = why == "were cut off"
    if not cut_off:
        await first.supervisor.drain()
    attempts = 1 if cut_off else 20
    second = House(Fake(talk, resumes=why != "cannot continue"), first.store, attempts=attempts)
    if why == "no longer exists":
        worker: Any = second.supervisor._executor
        worker._runtimes = {}
    await second.supervisor.open()
    state = await second.finished(run)
    assert isinstance(state.end, t.RunFailed)
    assert why in state.end.message
    await first.supervisor.close()
    await second.supervisor.close()


async def test_processes_that_stop_in_order_cut_nothing_off() -> None:
    """However often a server is deployed, a run that works continues."""

    async def works(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
        yield opening(context.state, "helper")
        await asyncio.Event().wait()

    house = await open_house(Fake(works), attempts=1)
    run = await house.start()
    for attempt in range(1, 4):
        await _worked_on(house, run, attempt)
        await house.supervisor.drain()
        house = House(Fake(works), house.store, attempts=1)
        await house.supervisor.open()
    assert (await _worked_on(house, run, 4)).end is None
    await house.supervisor.close()


async def _worked_on(house: House, run: str, attempt: int) -> RunState:
    """The run's state as soon as an attempt has started."""
    state = await house.directory.state(run)
    while "main" not in state.nodes or state.attempt < attempt:
        await asyncio.sleep(0)
        state = await house.directory.state(run)
    return state


async def test_a_log_that_was_never_acknowledged_is_dropped() -> None:
    store = MemoryStore()
    events = [t.Event(0, 1, "", "", t.RunStarted(request()))]
    await store.log.append("orphan", frame(events), expected=-1, attempt=1)
    house = House(Fake(talk), store)
    await house.supervisor.open()
    await house.supervisor.wait("orphan")
    assert not await store.log.read("orphan", -1)
    await house.supervisor.close()


async def test_retention_404_410_and_gone() -> None:
    house = await open_house(Fake(talk))
    with pytest.raises(NotFound):
        await house.directory.find("resp_01kabcdefghjkmnpqrstvwxyz0", Owner("local"))
    run = await house.start()
    await house.finished(run)
    await house.sweeper.sweep(NOBODY)
    assert (await house.directory.find(f"job_{run}", Owner("local"))).status == "completed"
    with pytest.raises(NotFound):
        await house.directory.find(f"job_{run}", Owner("somebody else"))
    house.now += 24 * HOUR - 10
    assert await house.sweeper.sweep(NOBODY) == 0
    house.now += 20
    assert await house.sweeper.sweep(NOBODY) == 1
    assert not await house.store.log.read(run, -1)
    with pytest.raises(Expired):
        await house.directory.find(f"resp_{run}", Owner("local"))
    with pytest.raises(NotFound):
        await house.directory.find(f"resp_{run}", Owner("somebody else"))
    house.now += 8 * 24 * HOUR
    await house.sweeper.sweep(NOBODY)
    with pytest.raises(NotFound):
        await house.directory.find(f"resp_{run}", Owner("local"))
    await house.supervisor.close()


async def test_unstored_runs_are_kept_for_a_short_time_only() -> None:
    house = await open_house(Fake(talk))
    run = await house.start(store=False)
    await house.finished(run)
    house.now += HOUR
    assert await house.sweeper.sweep(NOBODY) == 1
    await house.supervisor.close()


async def test_a_live_run_is_never_swept() -> None:
    house = await open_house(Fake(hangs), retention_ms=0, longest_seconds=3600.0)
    run = await house.start()
    house.now += 30 * 24 * HOUR
    assert await house.sweeper.sweep(NOBODY) == 0
    assert await house.store.log.read(run, -1)
    await house.supervisor.close()


async def test_submissions_attach_over_a_restart() -> None:
    house = await open_house(Fake(talk))
    first = Submission(key="k", body=b"body", retry=False)
    run, new = await house.supervisor.start(request(), owner=Owner("local"), submission=first)
    await house.finished(run)
    other = House(Fake(talk), house.store)
    await other.supervisor.open()
    again = await other.supervisor.start(request(), owner=Owner("local"), submission=first)
    assert (new, again) == (True, (run, False))
    theirs, fresh = await other.supervisor.start(request(), owner=Owner("them"), submission=first)
    assert fresh
    assert theirs != run
    await other.supervisor.close()


class Broken(MemoryStore):
    """A store whose disk is full for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self._append = self.log.append
        self.log.append = self.append  # type: ignore[method-assign]

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]:
        if self.full:
            return self.later(self._refuse)
        return self._append(run, frame, expected=expected, attempt=attempt)

    def _refuse(self) -> None:
        raise LogError("the disk is full")


async def test_a_run_whose_log_failed_is_taken_over_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.runs.worker.RETAKE_SECONDS", (0.0, 0.0))
    store = Broken()
    go = asyncio.Event()

    async def waits(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
        yield opening(context.state, "helper")
        await go.wait()
        async for batch in talk(context):
            yield batch

    house = House(Fake(waits), store)
    await house.supervisor.open()
    run = await house.start()
    while NODE not in (await house.directory.state(run)).nodes:
        await asyncio.sleep(0)
    store.full = True
    go.set()
    while house.supervisor.live():
        await asyncio.sleep(0)
    store.full = False
    while not (state := await house.directory.state(run)).is_finished:
        await asyncio.sleep(0)
    assert state.end == t.RunCompleted()
    assert state.attempt > 1
    await house.supervisor.close()


async def test_a_server_that_stops_takes_nothing_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.runs.worker.RETAKE_SECONDS", (0.0, 0.0))
    store = Broken()
    gates = [asyncio.Event(), asyncio.Event()]
    later = iter(gates)

    async def waits(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
        yield opening(context.state, "helper")
        await next(later).wait()
        async for batch in talk(context):
            yield batch

    house = House(Fake(waits), store)
    await house.supervisor.open()
    broken, other = await house.start(), await house.start()
    while NODE not in (await house.directory.state(other)).nodes:
        await asyncio.sleep(0)
    store.full = True
    gates[0].set()
    while house.supervisor.live() > 1:
        await asyncio.sleep(0)
    store.full = False
    await house.supervisor.drain()  # it waits some time for the other one
    assert (await house.directory.state(broken)).attempt == 1
    await house.supervisor.close()


async def test_an_agent_that_outlives_its_server_takes_nothing_up_again() -> None:
    go = asyncio.Event()

    async def stubborn(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
        yield opening(context.state, "helper")
        while not go.is_set():
            with suppress(asyncio.CancelledError):
                await go.wait()

    house = await open_house(Fake(stubborn), cancel_seconds=0.01)
    run = await house.start()
    while NODE not in (await house.directory.state(run)).nodes:
        await asyncio.sleep(0)
    await house.supervisor.close()
    go.set()
    ours = {asyncio.current_task()}
    await asyncio.wait(asyncio.all_tasks() - ours)
    assert asyncio.all_tasks() == ours


async def test_the_newest_runs_come_first() -> None:
    house = await open_house(Fake(talk))
    runs = []
    for _ in range(3):
        house.now += 5
        runs.append(await house.start())
        await house.finished(runs[-1])
    listed = await house.directory.page(Owner("local"), limit=2)
    assert [record.run for record in listed.runs] == runs[:0:-1]
    rest = await house.directory.page(Owner("local"), after=listed.next)
    assert ([record.run for record in rest.runs], rest.next) == (runs[:1], "")
    await house.supervisor.close()
