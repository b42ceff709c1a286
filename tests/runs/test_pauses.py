"""Pauses: a run stops for an answer, for days and over restarts; the first answer applies, and only that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import cast

import pytest
from msgspec.structs import replace

from tailrace.errors import Conflict
from tailrace.events import types as t
from tailrace.events.answers import Answer, AnswerPlace, Approval, Reply
from tailrace.events.history import made_by
from tailrace.events.items import ToolOutput, text_of
from tailrace.runs.owner import Owner
from tailrace.runs.settings import HOUR
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import ending, main_drafts, opening
from tests.support.house import NOBODY, Fake, House, open_house

CALL = 0


async def asks_first(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    """One tool call that needs approval, and a question beside it."""
    state = context.state
    if not state.items:
        yield opening(state, "helper")
        call = t.ItemStarted(CALL, "tool_call", name="pay", call_id="c1", runs_on="server")
        yield main_drafts([call, t.ItemCompleted(CALL), t.Usage("m", finish="tool_calls")])
        yield main_drafts(
            [t.ApprovalRequested(CALL, "Pay?"), t.InputRequested("colour", "Which colour?")]
        )
    item = state.items[CALL]
    if item.approval is None or "colour" not in state.answers:
        return
    yes = item.approval.approved
    if yes:
        yield main_drafts([t.ToolStarted(CALL, "key")])
    yield main_drafts([t.ToolCompleted(CALL, f"{yes} {state.answers['colour']}", is_error=not yes)])
    yield ending(state)


async def _paused(house: House) -> str:
    run = await house.start()
    state = await house.finished(run)
    assert state.phase == "waiting"
    return run


@pytest.mark.parametrize("approved", [True, False])
async def test_a_pause_outlives_the_process_and_ends_with_the_answers(approved: bool) -> None:
    first = await open_house(Fake(asks_first))
    run = await _paused(first)
    assert (await first.directory.find(run, Owner("local"))).status == "waiting"
    await first.supervisor.drain()
    second = House(Fake(asks_first), first.store)
    second.now += 3 * 24 * HOUR
    await second.supervisor.open()
    await second.supervisor.answer(run, (Approval(CALL, approved), Reply("colour", "red")))
    state = await second.finished(run)
    assert state.attempt == 1, "a pause is no crash"
    assert state.end == t.RunCompleted()
    outputs = [item for item in made_by(state) if isinstance(item, ToolOutput)]
    assert [text_of(item.output) for item in outputs] == [f"{approved} red"]
    await second.supervisor.close()


async def test_answers_may_come_one_by_one_and_only_once() -> None:
    house = await open_house(Fake(asks_first))
    run = await _paused(house)
    await house.supervisor.answer(run, (Approval(CALL, approved=True),))
    state = await house.finished(run)
    assert state.phase == "waiting", "the question is still open"
    for late in (
        Approval(CALL, approved=False),
        Approval(7, approved=True),
        Reply("taste"),
    ):
        with pytest.raises(Conflict):
            await house.supervisor.answer(run, (late,))
    both: Answer = (Reply("colour", "red"), Reply("colour", "blue"))
    with pytest.raises(Conflict):
        await house.supervisor.answer(run, both)
    await house.supervisor.answer(run, (Reply("colour", "red"),))
    assert (await house.finished(run)).end == t.RunCompleted()
    with pytest.raises(Conflict):
        await house.supervisor.answer(run, (Reply("colour", "blue"),))
    await house.supervisor.close()


async def test_a_repeated_answer_gets_its_original_position() -> None:
    """A client whose reply was lost sends its answer again (issue 13, 8)."""
    house = await open_house(Fake(asks_first))
    run = await _paused(house)
    yes, red = (Approval(CALL, approved=True),), (Reply("colour", "red"),)
    first = await house.supervisor.answer(run, yes)
    await house.finished(run)
    second = await house.supervisor.answer(run, red)
    assert [first.turn, second.turn] == [1, 2]
    events = len(await house.directory.events(run))
    for _ in range(2):  # while the run continues, and when it has ended
        assert await house.supervisor.answer(run, yes) == replace(first, is_repeated=True)
        assert await house.supervisor.answer(run, red) == replace(second, is_repeated=True)
        await house.finished(run)
    for other in (
        (Approval(CALL, approved=False),),
        (Reply("colour", "blue"),),
        (*yes, Reply("colour")),
    ):
        with pytest.raises(Conflict):
            await house.supervisor.answer(run, other)
    assert len(await house.directory.events(run)) >= events
    assert [type(e.payload) for e in await house.directory.events(run)].count(t.RunResumed) == 2
    await house.supervisor.close()


async def test_two_answers_at_once_wake_the_run_once() -> None:
    house = await open_house(Fake(asks_first))
    run = await _paused(house)
    answers: list[Answer] = [
        (Approval(CALL, approved=True),),
        (Reply("colour", "red"),),
    ] * 2
    outcomes = await asyncio.gather(
        *(house.supervisor.answer(run, answer) for answer in answers), return_exceptions=True
    )
    assert sorted(cast("AnswerPlace", outcome).is_repeated for outcome in outcomes) == [
        False,
        False,
        True,
        True,
    ]
    assert (await house.finished(run)).end == t.RunCompleted()
    await house.supervisor.close()


async def test_an_answer_reaches_a_run_that_still_works() -> None:
    async def asks_and_works(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
        yield opening(context.state, "helper")
        yield main_drafts([t.InputRequested("colour", "Which?")])
        await context.news(0)
        yield main_drafts([t.Custom("heard", context.state.answers["colour"])])
        yield ending(context.state)

    house = await open_house(Fake(asks_and_works))
    run = await house.start()
    while "colour" not in (await house.directory.state(run)).asks:
        await asyncio.sleep(0)
    await house.supervisor.answer(run, (Reply("colour", "green"),))
    state = await house.finished(run)
    assert state.end == t.RunCompleted()
    assert any(
        event.payload == t.Custom("heard", "green") for event in await house.directory.events(run)
    )
    await house.supervisor.close()


async def test_a_waiting_run_can_be_cancelled() -> None:
    house = await open_house(Fake(asks_first))
    run = await _paused(house)
    await house.supervisor.cancel(run, "a test")
    state = await house.directory.state(run)
    assert state.end == t.RunCancelled("a test")
    told = state.items[CALL].output
    assert told is not None
    assert told.output == "Not run: the run was cancelled.", "it never began"
    with pytest.raises(Conflict):
        await house.supervisor.answer(run, (Approval(CALL, approved=True),))
    await house.supervisor.close()


async def test_a_run_without_an_answer_ends_after_its_time() -> None:
    house = await open_house(Fake(asks_first), waiting=HOUR)
    run = await _paused(house)
    await house.sweeper.sweep(NOBODY)
    house.now += HOUR + 1
    await house.sweeper.sweep(house.supervisor)
    assert (await house.directory.state(run)).end == t.RunIncomplete("not_answered")
    assert (await house.directory.find(run, Owner("local"))).status == "incomplete"
    await house.supervisor.close()
