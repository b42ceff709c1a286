"""Graphs of LangGraph continue after crashes, and work in parallel."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command

from tailrace.events import types as t
from tailrace.events.request import Settings
from tailrace.models.scenario import ScenarioStep
from tests.support.langgraph_agents import (
    ModelBroke,
    model,
    opened,
    run,
    tool,
)
from tests.support.specs import PAINT, until
from tests.support.team import call, outputs, say, texts


async def test_after_a_crash_only_the_unfinished_step_is_repeated() -> None:
    done: list[str] = []

    class State(MessagesState):
        seen: Annotated[list[str], operator.add]

    def graph(hang: bool) -> Any:
        scripted = model("lead", (say("one"),), (say("two"),), (say("three"),))

        async def prepare(state: State) -> Any:
            done.append("prepare")
            return {"seen": ["prepared"]}

        async def write(state: State) -> Any:
            messages = list(state["messages"])
            messages.append(await scripted.ainvoke(messages))
            messages.append(await scripted.ainvoke(messages))
            if hang:
                done.append("hung")
                await asyncio.Event().wait()
            messages.append(await scripted.ainvoke(messages))
            return {"messages": messages[-3:], "seen": ["written"]}

        builder = StateGraph(State)
        builder.add_node("prepare", prepare)
        builder.add_node("write", write)
        builder.add_edge(START, "prepare")
        builder.add_edge("prepare", "write")
        return builder.compile(), scripted

    made, _ = graph(hang=True)
    house = await opened(made)
    name = await house.start()
    await until(house, name, lambda state: "hung" in done)
    made, scripted = graph(hang=False)
    house = await opened(made, house)
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert texts(state) == ["one", "two", "three"]
    assert state.replies == {"MAIN": 3}
    assert done == ["prepare", "hung"]
    (asked,) = scripted.asked
    assert [m.text for m in asked[0] if isinstance(m, AIMessage)] == ["one", "two"]
    await house.supervisor.close()


async def test_what_a_finished_tool_changed_in_the_state_is_there_after_a_crash() -> None:
    done: list[str] = []

    class State(MessagesState):
        notes: Annotated[list[str], operator.add]

    def lead(hang: bool) -> Any:
        async def note(text: str, id: Annotated[str, InjectedToolCallId]) -> Any:
            """Note."""
            done.append(text)
            return Command(
                update={"notes": [text], "messages": [ToolMessage("noted", tool_call_id=id)]}
            )

        async def slow() -> str:
            """Be slow."""
            if hang:
                await asyncio.Event().wait()
            return "slow"

        notes: list[str] = []

        async def report(state: State) -> None:
            notes.extend(state["notes"])

        scripted = model("lead", (call("note", text="a"), call("slow")), (say("ok"),))

        async def ask(state: State) -> Any:
            return {"messages": [await scripted.ainvoke(state["messages"])]}

        builder = StateGraph(State)
        builder.add_node("ask", ask)
        builder.add_node("tools", ToolNode([tool(note), tool(slow)]))
        builder.add_node("report", report)
        builder.add_edge(START, "ask")
        builder.add_conditional_edges(
            "ask", lambda s: "tools" if s["messages"][-1].tool_calls else "report"
        )
        builder.add_edge("tools", "ask")
        builder.add_edge("report", END)
        return builder.compile(), notes

    made, _ = lead(hang=True)
    house = await opened(made)
    name = await house.start()
    await until(house, name, lambda state: "noted" in outputs(state))
    made, notes = lead(hang=False)
    house = await opened(made, house)
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert done == ["a"]
    assert notes == ["a"]
    assert outputs(state)[0] == "noted"
    await house.supervisor.close()


async def test_a_run_that_ended_leaves_nothing_behind() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    lead = create_agent(model("lead", (call("look"),), (say("ok"),)), tools=[tool(look)])
    house = await opened(lead)
    await house.finished(await house.start())
    assert not await house.store.records.scan("kept")
    await house.supervisor.close()


async def test_parallel_nodes_may_call_models_at_the_same_time() -> None:
    both = asyncio.Barrier(2)

    class Out(TypedDict):
        messages: Annotated[list[Any], operator.add]

    def node(name: str) -> Any:
        scripted = model(name, (say(f"{name} 1 "), say(f"{name} 2")))

        async def ask(state: Out) -> Any:
            await both.wait()
            return {"messages": [await scripted.ainvoke(state["messages"][:1])]}

        return ask

    builder = StateGraph(Out)
    for name in ("ann", "bob"):
        builder.add_node(name, node(name))
        builder.add_edge(START, name)
    state = await run(builder.compile())
    assert state.end == t.RunCompleted()
    assert sorted(texts(state)) == ["ann 1 ann 2", "bob 1 bob 2"]
    assert state.replies == {"MAIN": 2}


async def test_output_of_parallel_nodes_is_put_in_sequence() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    ann = model("ann", (say("one "), ScenarioStep(delay_ms=20), say("two")))
    bob = model("bob", (ScenarioStep(delay_ms=5), call("look")))

    async def talk(state: MessagesState) -> Any:
        return {"messages": [await ann.ainvoke(state["messages"])]}

    async def act(state: MessagesState) -> Any:
        said = await bob.ainvoke(state["messages"])
        return {"messages": [said, await tool(look).ainvoke(said.tool_calls[0])]}

    builder = StateGraph(MessagesState)
    builder.add_node("talk", talk)
    builder.add_node("work", act)
    builder.add_edge(START, "talk")
    builder.add_edge(START, "work")
    state = await run(builder.compile())
    assert state.end == t.RunCompleted()
    assert [item.started.kind for item in state.items] == ["message", "tool_call"]
    assert texts(state) == ["one two"]
    assert outputs(state) == ["seen"]
    assert [item.reply for item in state.items] == [1, 2]


async def test_a_turn_that_waits_for_the_client_ends_after_a_crash_too() -> None:
    started: list[str] = []

    def lead(hang: bool) -> Any:
        async def look() -> str:
            """Look."""
            started.append("look")
            if hang:
                await asyncio.Event().wait()
            return "seen"

        calls = (call("look"), call("paint", colour="red"))
        slow = tool(look, metadata={"after_crash": "retry"})
        return create_agent(model("lead", calls, (say("wrong"),)), tools=[slow])

    house = await opened(lead(hang=True))
    name = await house.start(settings=Settings(tools=(PAINT,)))
    await until(house, name, lambda state: bool(started))
    house = await opened(lead(hang=False), house)
    state = await house.finished(name)
    assert (state.end, state.finish) == (t.RunCompleted(), "tool_calls")
    assert [item.tool for item in state.items] == ["done", "handed"]
    assert started == ["look", "look"], "such a tool may be called again"
    await house.supervisor.close()


async def test_a_retried_model_call_is_played_back_as_one() -> None:
    hung: list[str] = []

    def graph(hang: bool) -> Any:
        broken = model("broken", (say("so "), ScenarioStep(fail="x")))
        fine = model("fine", (say("fine"),), (say("more"),))

        async def write(state: MessagesState) -> Any:
            try:
                said = await (broken if hang else fine).ainvoke(state["messages"])
            except ModelBroke:
                said = await fine.ainvoke(state["messages"])
            if hang:
                hung.append("")
                await asyncio.Event().wait()
            return {"messages": [said]}

        builder = StateGraph(MessagesState)
        builder.add_node("write", write)
        builder.add_edge(START, "write")
        return builder.compile(), fine

    made, _ = graph(hang=True)
    house = await opened(made)
    name = await house.start()
    await until(house, name, lambda state: bool(hung))
    made, fine = graph(hang=False)
    house = await opened(made, house)
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert texts(state) == ["so ", "fine"]
    assert not fine.asked
    await house.supervisor.close()
