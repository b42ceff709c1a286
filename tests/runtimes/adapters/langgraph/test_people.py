"""Graphs of LangGraph stop for a person's decision and continue with the answer, over restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from tailrace.errors import BadRequest
from tailrace.events import types as t
from tailrace.events.answers import Approval, Reply
from tailrace.events.state import RunState
from tailrace.runtimes.contract import RunContext
from tests.support.langgraph_agents import (
    agent,
    model,
    opened,
    runtime,
    tool,
)
from tests.support.specs import send, spec, until
from tests.support.team import call, outputs, say, texts


async def test_an_interrupt_in_a_tool_is_a_question_and_may_be_followed_by_another() -> None:
    begun: list[str] = []

    def lead() -> Any:
        async def book(city: str) -> str:
            """Book."""
            begun.append(city)
            day = interrupt({"message": f"When to {city}?"})
            seat = interrupt("Which seat?")
            return f"{city}, {day}, {seat}"

        replies = ((call("book", city="Rome"), call("book", city="Oslo")), (say("ok"),))
        return create_agent(model("lead", *replies), tools=[tool(book)])

    house = await opened(lead())
    name = await house.start()
    state = await house.finished(name)
    assert state.phase == "waiting"
    asked = {question.message: question for question in state.questions.values()}
    assert set(asked) == {"When to Rome?", "When to Oslo?"}
    assert [question.item for question in asked.values()] == [0, 1]
    house = await opened(lead(), house)
    rome, oslo = (asked[f"When to {city}?"].request_id for city in ("Rome", "Oslo"))
    await house.supervisor.answer(name, (Reply(rome, "Monday"),))
    state = await house.finished(name)
    assert list(state.asks.values()) == ["answered", "asked", "asked"]
    house = await opened(lead(), house)
    seat = next(id for id, each in state.questions.items() if each.message == "Which seat?")
    await house.supervisor.answer(name, (Reply(oslo, "Friday"), Reply(seat, "2A")))
    state = await house.finished(name)
    (seat,) = [id for id, how in state.asks.items() if how == "asked"]
    await house.supervisor.answer(name, (Reply(seat, "7B"),))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["Rome, Monday, 2A", "Oslo, Friday, 7B"]
    assert state.replies == {"MAIN": 2}
    await house.supervisor.close()


async def test_an_interrupt_in_a_node_waits_and_nothing_before_it_is_done_again() -> None:
    done: list[str] = []

    def graph() -> Any:
        scripted = model("lead", (say("draft"),), (say("final"),))

        async def prepare(state: MessagesState) -> None:
            done.append("prepare")

        async def write(state: MessagesState) -> Any:
            first = await scripted.ainvoke(state["messages"])
            wish = interrupt("Good?")
            done.append(wish["answer"])
            return {"messages": [first, await scripted.ainvoke([*state["messages"], first])]}

        builder = StateGraph(MessagesState)
        builder.add_node("prepare", prepare)
        builder.add_node("write", write)
        builder.add_edge(START, "prepare")
        builder.add_edge("prepare", "write")
        return builder.compile(), scripted

    made, first = graph()
    house = await opened(made)
    name = await house.start()
    state = await house.finished(name)
    (question,) = state.questions.values()
    assert (state.phase, question.message, question.item) == ("waiting", "Good?", None)
    made, second = graph()
    house = await opened(made, house)
    await house.supervisor.answer(name, (Reply(question.request_id, {"answer": "yes"}),))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert texts(state) == ["draft", "final"]
    assert done == ["prepare", "yes"]
    assert (len(first.asked), len(second.asked)) == (1, 1)
    await house.supervisor.close()


@pytest.mark.parametrize("approved", [True, False])
async def test_approvals_may_be_requested_one_by_one(approved: bool) -> None:
    paid: list[int] = []

    def lead() -> Any:
        def pay(amount: int) -> str:
            """Pay."""
            paid.append(amount)
            return f"paid {amount}"

        gate = HumanInTheLoopMiddleware(interrupt_on={"pay": True}, interrupt_mode="per_call")
        calls = (call("pay", amount=1), call("pay", amount=2))
        return create_agent(
            model("lead", calls, (say("ok"),)), tools=[tool(pay)], middleware=[gate]
        )

    house = await opened(lead())
    name = await house.start()
    state = await house.finished(name)
    assert [item.tool for item in state.items] == ["asked", "asked"]
    house = await opened(lead(), house)
    await house.supervisor.answer(name, (Approval(0, approved), Approval(1, approved=True)))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert sorted(paid) == ([1, 2] if approved else [2])
    assert outputs(state)[1] == "paid 2"
    assert ("refused" in outputs(state)[0]) != approved
    await house.supervisor.close()


async def test_agents_below_wait_for_their_own_approvals() -> None:
    def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    def lead() -> Any:
        yes = frozenset({"pay"})
        below = [
            spec(name, (call("pay", amount=n),), (say(f"{name} ok"),), tools=(pay,), approve=yes)
            for n, name in enumerate(("ann", "bob"))
        ]
        return agent(spec("lead", (send("ann"), send("bob")), (say("ok"),), below=tuple(below)))

    house = await opened(lead())
    name = await house.start()
    state = await house.finished(name)
    asked = [n for n, item in enumerate(state.items) if item.tool == "asked"]
    assert {state.items[n].agent for n in asked} == {"ann", "bob"}
    house = await opened(lead(), house)
    await house.supervisor.answer(name, (Approval(asked[0], approved=True),))
    state = await house.finished(name)
    assert state.phase == "waiting"
    assert sorted(state.agents.values()) == ["closed", "open", "open"]
    house = await opened(lead(), house)
    await house.supervisor.answer(name, (Approval(asked[1], approved=False, reason="no"),))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert state.replies == {"MAIN": 2, "ann": 2, "bob": 2}
    assert outputs(state)[:2] == ["ann ok", "bob ok"]
    await house.supervisor.close()


async def test_a_breakpoint_of_the_graph_is_a_question() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    def lead() -> Any:
        scripted = model("lead", (call("look"),), (say("ok"),))
        return create_agent(scripted, tools=[tool(look)], interrupt_before=["tools"])

    house = await opened(lead())
    name = await house.start()
    state = await house.finished(name)
    (question,) = state.questions.values()
    assert (state.phase, state.items[0].tool) == ("waiting", "called")
    house = await opened(lead(), house)
    await house.supervisor.answer(name, (Reply(question.request_id, "yes"),))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["seen"]
    await house.supervisor.close()


async def test_a_call_that_waits_when_the_server_dies_still_waits_afterwards() -> None:
    def lead(hang: bool) -> Any:
        async def book() -> str:
            """Book."""
            day = interrupt("When?")
            if day == "never" and hang:
                await asyncio.Event().wait()
            return f"booked {day}"

        async def slow() -> str:
            """Be slow."""
            if hang:
                await asyncio.Event().wait()
            return "slow"

        calls = (call("book"), call("slow"))
        return create_agent(model("lead", calls, (say("ok"),)), tools=[tool(book), tool(slow)])

    house = await opened(lead(hang=True))
    name = await house.start()
    await until(house, name, lambda s: "asked" in s.asks.values() and s.items[1].has_begun)
    house = await opened(lead(hang=False), house)
    state = await house.finished(name)
    assert (state.phase, state.attempt) == ("waiting", 2)
    assert [item.tool for item in state.items] == ["running", "done"]
    (question,) = state.questions
    house = await opened(lead(hang=True), house)
    await house.supervisor.answer(name, (Reply(question, "never"),))
    await until(house, name, lambda s: s.phase == "running")
    for _ in range(200):
        await asyncio.sleep(0)
    house = await opened(lead(hang=False), house)
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert all("whether it took effect is unknown" in text for text in outputs(state))
    await house.supervisor.close()


async def test_approval_is_requested_again_for_an_interrupted_call() -> None:
    paid: list[bool] = []

    def lead(hang: bool) -> Any:
        async def pay() -> str:
            """Pay."""
            paid.append(hang)
            if hang:
                await asyncio.Event().wait()
            return "paid"

        gate = HumanInTheLoopMiddleware(interrupt_on={"pay": True}, interrupt_mode="per_call")
        scripted = model("lead", (call("pay"),), (say("ok"),))
        return create_agent(scripted, tools=[tool(pay)], middleware=[gate])

    house = await opened(lead(hang=True))
    name = await house.start()
    await house.finished(name)
    await house.supervisor.answer(name, (Approval(0, approved=True),))
    await until(house, name, lambda state: bool(paid))
    house = await opened(lead(hang=False), house)
    state = await house.finished(name)
    assert (state.phase, state.items[0].tool) == ("waiting", "doubted")
    await house.supervisor.answer(name, (Approval(0, approved=True, occurrence=2),))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["paid"]
    assert paid == [True, False]
    await house.supervisor.close()


async def test_an_interrupt_without_its_checkpoint_is_put_once() -> None:
    def lead() -> Any:
        def book() -> str:
            """Book."""
            return f"booked {interrupt('When?')}"

        return create_agent(model("lead", (call("book"),), (say("ok"),)), tools=[tool(book)])

    house = await opened(lead())
    name = await house.start()
    state = await house.finished(name)
    for record in await house.store.records.scan("kept"):
        if msgspec.msgpack.decode(record.value)[0] == "writes" and b"When?" in record.value:
            await house.store.records.delete("kept", record.key)
    house = await opened(lead(), house)
    (question,) = state.questions
    await house.supervisor.answer(name, (Reply(question, "soon"),))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["booked soon"]
    await house.supervisor.close()


async def test_a_restart_does_not_pass_a_breakpoint_that_waits_for_a_person() -> None:
    async def work(state: MessagesState) -> None:
        raise AssertionError("nobody said go on")

    builder = StateGraph(MessagesState)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    graph = builder.compile(interrupt_before=["work"])
    house = await opened(graph)
    name = await house.start()
    state = await house.finished(name)
    sink = Sink(state)
    made = runtime(graph)
    made.keep_in(house.store)
    await made.run(RunContext(name, sink))
    assert not sink.taken
    await house.supervisor.close()


class Sink:
    """The unchanged state of a run, and the drafts that were added to it."""

    full = False

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.taken: list[t.Draft] = []

    def add(self, drafts: Sequence[t.Draft]) -> None:
        self.taken += drafts

    def now(self) -> int:
        return 0

    async def room(self) -> None: ...

    async def flush(self) -> None: ...


@pytest.mark.parametrize("mode", ["batched", "per_call"])
async def test_a_tool_allows_some_decisions_only(mode: Any) -> None:
    def lead() -> Any:
        def pay(amount: int) -> str:
            """Pay."""
            return f"paid {amount}"

        def sell(amount: int) -> str:
            """Sell."""
            return f"sold {amount}"

        gate = HumanInTheLoopMiddleware(
            interrupt_on={"pay": {"allowed_decisions": ["approve", "reject"]}, "sell": True},
            interrupt_mode=mode,
        )
        calls = (call("pay", amount=1), call("sell", amount=2))
        scripted = model("lead", calls, (say("ok"),))
        return create_agent(scripted, tools=[tool(pay), tool(sell)], middleware=[gate])

    house = await opened(lead())
    name = await house.start()
    state = await house.finished(name)
    requests = [item.approval_request for item in state.items]
    allowed = [request.decisions for request in requests if request is not None]
    assert allowed == [("approve", "reject"), ("approve", "edit", "reject", "respond")]
    others = Approval(1, approved=True, arguments='{"amount": 20}')
    for refused in (
        Approval(0, approved=True, arguments='{"amount": 10}'),
        Approval(0, approved=False, response="Paid by me."),
    ):
        with pytest.raises(BadRequest, match="allowed: approve, reject"):
            await house.supervisor.answer(name, (refused, others))
    house = await opened(lead(), house)
    await house.supervisor.answer(name, (Approval(0, approved=True), others))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state)[0] == "paid 1"
    assert outputs(state)[1].startswith("[A person edited this call")
    assert outputs(state)[1].endswith("sold 20")
    await house.supervisor.close()


async def test_an_edit_holds_when_its_call_was_cut_off() -> None:
    paid: list[int] = []

    def lead(hang: bool) -> Any:
        async def pay(amount: int) -> str:
            """Pay."""
            paid.append(amount)
            if hang:
                await asyncio.Event().wait()
            return f"paid {amount}"

        gate = HumanInTheLoopMiddleware(interrupt_on={"pay": True}, interrupt_mode="per_call")
        scripted = model("lead", (call("pay", amount=5),), (say("ok"),))
        return create_agent(scripted, tools=[tool(pay)], middleware=[gate])

    house = await opened(lead(hang=True))
    name = await house.start()
    await house.finished(name)
    edit = Approval(0, approved=True, arguments='{"amount": 3}')
    await house.supervisor.answer(name, (edit,))
    await until(house, name, lambda state: bool(paid))
    house = await opened(lead(hang=False), house)
    await house.finished(name)
    await house.supervisor.answer(name, (Approval(0, approved=True, occurrence=2),))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state)[0].endswith("paid 3")
    assert paid == [3, 3]
    await house.supervisor.close()
