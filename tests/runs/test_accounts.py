"""Budgets: runs at the same time, a day's tokens and cost, over restarts and in the middle of a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from tailrace.errors import TooMany
from tailrace.events import types as t
from tailrace.events.answers import Reply
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs.accounts import DAY, Budget
from tailrace.runs.owner import Owner
from tailrace.runs.submission import Submission
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import ending, main_drafts, opening
from tests.support.house import Behave, Fake, House, open_house
from tests.support.logs import request

PURSE = Budget("token:a", runs=2, tokens=100, cost=1.0)


def _call(context: RunContext, tokens: int, cost: float) -> Sequence[t.Draft]:
    item = len(context.state.items)
    return main_drafts(
        [
            t.ItemStarted(item, "message"),
            t.TextDelta(item, "Hi"),
            t.ItemCompleted(item),
            t.Usage("m", input=tokens, cost=cost),
        ]
    )


def calls(*used: tuple[int, float], then_hang: bool = False) -> Behave:
    """An agent that makes model calls with so many tokens and such a cost."""

    async def agent(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
        yield opening(context.state, "helper")
        for tokens, cost in used:
            yield _call(context, tokens, cost)
        if then_hang:
            await asyncio.Event().wait()
        yield ending(context.state)

    return agent


async def _start(house: House, *budgets: Budget) -> str:
    submission = Submission(key="", body=b"", retry=False, budgets=budgets)
    run, _ = await house.supervisor.start(request(), owner=Owner("local"), submission=submission)
    return run


async def _refused(house: House, *budgets: Budget) -> TooMany:
    with pytest.raises(TooMany) as refused:
        await _start(house, *budgets)
    return refused.value


async def test_runs_at_once() -> None:
    house = await open_house(Fake(calls(then_hang=True)))
    first = await _start(house, PURSE)
    await _start(house, PURSE)
    assert "2 runs at once" in (await _refused(house, PURSE)).message
    await _start(house, Budget("token:b", runs=2))
    await house.supervisor.cancel(first, "a test")
    await house.supervisor.wait(first)
    await _start(house, PURSE)
    await _refused(house, PURSE)
    await house.supervisor.close()


async def test_runs_at_once_counts_starts_that_come_together() -> None:
    house = await open_house(Fake(calls(then_hang=True)))
    starts = [_start(house, PURSE, Budget("tenant:x", runs=9)) for _ in range(8)]
    made = await asyncio.gather(*starts, return_exceptions=True)
    assert sum(isinstance(each, str) for each in made) == 2
    assert house.supervisor.live() == 2
    await house.supervisor.close()


@pytest.mark.parametrize(
    ("used", "reason"), [((60, 0.1), "tokens_per_day"), ((1, 0.6), "cost_per_day")]
)
async def test_a_day_s_budget(used: tuple[int, float], reason: str) -> None:
    house = await open_house(Fake(calls(used)))
    house.now = 7 * DAY + 1_000
    for _ in range(2):
        state = await house.finished(await _start(house, PURSE))
        assert state.end == t.RunCompleted(), "the run whose last reply it was ends by itself"
    refusal = await _refused(house, PURSE)
    assert reason in refusal.message
    assert refusal.retry_after == (DAY - 1_000) / 1000
    house.now += DAY
    await house.finished(await _start(house, PURSE))
    await house.supervisor.close()


async def test_a_budget_that_runs_out_ends_the_run_and_keeps_its_usage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tailrace.runs.run_task.LAST_SECONDS", 0.01)
    house = await open_house(Fake(calls((70, 0.0), (70, 0.0), then_hang=True)))
    state = await house.finished(await _start(house, Budget("tenant:acme", tokens=100)))
    assert state.end == t.RunIncomplete("tokens_per_day")
    assert state.total().input == 140
    await house.supervisor.close()


async def test_what_was_spent_survives_a_restart() -> None:
    first = await open_house(Fake(calls((50, 0.0), (40, 0.0), (30, 0.0), then_hang=True)))
    for _ in range(3):
        await _start(first, Budget("token:a", tokens=1_000))
    while len(first.supervisor._accounts._writes):
        await asyncio.sleep(0)
    second = House(Fake(calls((0, 0.0))), first.store)  # the process of the first one is dead
    await second.supervisor.open()
    refusal = await _refused(second, Budget("token:a", tokens=360))
    assert "tokens_per_day" in refusal.message
    await second.finished(await _start(second, Budget("token:a", tokens=361)))
    await second.supervisor.close()
    await first.supervisor.close()


async def test_a_run_that_was_taken_over_is_still_paid_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tailrace.runs.run_task.LAST_SECONDS", 0.01)
    first = await open_house(Fake(calls((60, 0.0), then_hang=True)))
    run = await _start(first, Budget("token:a", runs=1, tokens=100))
    await first.supervisor.drain()
    await first.supervisor._accounts.settle()
    second = House(Fake(calls((60, 0.0), then_hang=True)), first.store)
    await second.supervisor.open()
    while not second.supervisor.live():
        await asyncio.sleep(0)
    assert "1 runs at once" in (await _refused(second, Budget("token:a", runs=1))).message
    state = await second.finished(run)
    assert state.end == t.RunIncomplete("tokens_per_day")
    assert state.total().input == 120, "counted once each"
    assert not second.supervisor._running._running  # type: ignore[union-attr]
    await second.supervisor.close()


async def test_a_run_that_waits_does_not_count_and_its_answer_is_paid_for() -> None:
    async def asks(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
        if not context.state.asks:
            yield opening(context.state, "helper")
            yield main_drafts([t.InputRequested("q", "Sure?")])
            return
        await asyncio.Event().wait()

    one = Budget("token:a", runs=1)
    house = await open_house(Fake(asks))
    waiting = [await _start(house, one)]
    await house.supervisor.wait(waiting[0])
    waiting.append(await _start(house, one))
    await house.supervisor.wait(waiting[1])
    await house.supervisor.answer(waiting[0], (Reply("q", "yes"),))
    with pytest.raises(TooMany):
        await house.supervisor.answer(waiting[1], (Reply("q", "yes"),))
    assert (await house.directory.state(waiting[1])).phase == "waiting", "and can be answered later"
    await house.supervisor.cancel(waiting[0], "a test")
    await house.supervisor.answer(waiting[1], (Reply("q", "yes"),))
    await house.supervisor.close()


async def test_a_clock_that_jumps_finds_each_day_s_own_count() -> None:
    house = await open_house(Fake(calls((60, 0.0))))
    house.now = 10 * DAY
    await house.finished(await _start(house, PURSE))
    house.now += DAY
    await house.finished(await _start(house, PURSE))
    house.now -= DAY
    await house.finished(await _start(house, PURSE))
    await _refused(house, PURSE)
    await house.supervisor.close()


class Counting(MemoryStore):
    """A store that counts writes to a bucket."""

    def __init__(self) -> None:
        super().__init__()
        self.puts = 0
        put = self.records.put

        def counted(bucket: str, *fields: object, **more: object) -> object:
            self.puts += bucket == "spent"
            return put(bucket, *fields, **more)  # type: ignore[arg-type]

        self.records.put = counted  # type: ignore[method-assign, assignment]


async def test_nothing_is_written_where_nothing_is_limited_and_little_where_it_is() -> None:
    many = Fake(calls(*[(1, 0.0)] * 200))
    for budget, most in ((Budget("a", runs=3), 0), (Budget("b", tokens=1_000), 20)):
        house = House(many, store := Counting())
        await house.supervisor.open()
        state = await house.finished(await _start(house, budget))
        await house.supervisor.close()
        assert state.total().input == 200
        assert store.puts <= most
        if budget.tokens:
            assert store.puts
