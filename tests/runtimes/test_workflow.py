"""Workflows: order, parallel nodes, failure by name, and continuation node by node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.answers import Approval
from tailrace.events.items import Item, Message, text_of
from tailrace.events.state import RunState
from tailrace.runtimes.agent import AgentLimits
from tailrace.runtimes.nodes.contract import Node, NodeContext, NodeSpec
from tailrace.runtimes.nodes.deep_agent import DeepAgentNode
from tailrace.runtimes.tools.functions import tool
from tailrace.runtimes.workflow import Workflow
from tests.support.house import House, open_house
from tests.support.team import agent, call, outputs, say, texts


class Says:
    """A node that emits a text, after an optional wait."""

    def __init__(self, text: str, wait: Callable[[], Any] | None = None) -> None:
        self.text = text
        self.wait = wait
        self.told: tuple[Item, ...] = ()
        self.worked = 0

    def registry(self) -> Sequence[t.AgentEntry]:
        return ()

    async def work(self, context: NodeContext, told: tuple[Item, ...]) -> bool:
        self.told = told
        self.worked += 1
        if self.wait is not None:
            await self.wait()
        item = len(context.run.state.items)
        context.emit([t.ItemStarted(item, "message"), t.TextDelta(item, self.text)])
        context.emit([t.ItemCompleted(item), t.Usage("m")])
        return True


def flow(nodes: dict[str, Node], **needs: tuple[str, ...]) -> Workflow:
    specs = [NodeSpec(id=name, type="says", needs=needs.get(name, ())) for name in nodes]
    return Workflow(specs, nodes)


async def run(workflow: Workflow) -> tuple[RunState, list[t.Event]]:
    house = await open_house(workflow)
    name = await house.start()
    state = await house.finished(name)
    events = await house.directory.events(name)
    await house.supervisor.close()
    return state, events


async def test_a_node_starts_with_the_output_of_the_nodes_it_needs() -> None:
    last = Says("c")
    nodes: dict[str, Node] = {"last": last, "a": Says("from a"), "b": Says("from b")}
    state, events = await run(flow(nodes, last=("a", "b")))
    assert state.end == t.RunCompleted()
    order = [e.node for e in events if isinstance(e.payload, t.NodeStarted)]
    assert order == ["a", "b", "last"]
    said = [text_of(item.content) for item in last.told if isinstance(item, Message)]
    assert said == ["Hi", "What a made:\n\nfrom a", "What b made:\n\nfrom b"]


async def test_independent_nodes_work_in_parallel() -> None:
    barrier = asyncio.Barrier(3)
    nodes: dict[str, Node] = {name: Says(name, barrier.wait) for name in "abc"}
    state, _ = await run(flow(nodes))
    assert state.end == t.RunCompleted()


async def test_nodes_without_agents_do_not_interfere() -> None:
    """One node has an open item while the other reports its usage: they share no agent, because they have
    none."""
    opened, closed = asyncio.Event(), asyncio.Event()

    class Open(Says):
        async def work(self, context: NodeContext, told: tuple[Item, ...]) -> bool:
            item = len(context.run.state.items)
            context.emit([t.ItemStarted(item, "message")])
            opened.set()
            await closed.wait()
            context.emit([t.ItemCompleted(item), t.Usage("m")])
            return True

    class Quick(Says):
        async def work(self, context: NodeContext, told: tuple[Item, ...]) -> bool:
            await opened.wait()
            await super().work(context, told)
            closed.set()
            return True

    state, _ = await run(flow({"a": Open(""), "b": Quick("b")}))
    assert state.end == t.RunCompleted()
    assert [item.reply for item in state.items] == [1, 1]


FAILURES = [
    (ModelFailed("out of paint"), "Node b failed: out of paint"),
    (ZeroDivisionError("secret"), "Node b raised ZeroDivisionError."),
]


@pytest.mark.parametrize(("error", "message"), FAILURES)
async def test_a_node_that_fails_fails_the_run_by_name_and_stops_the_others(
    error: Exception, message: str
) -> None:
    stopped = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def fail() -> None:
        raise error

    nodes: dict[str, Node] = {"a": Says("a", hang), "b": Says("b", fail), "c": Says("c")}
    state, events = await run(flow(nodes, c=("a",)))
    assert isinstance(state.end, t.RunFailed)
    assert state.end.message == message
    assert stopped.is_set()
    ends = {e.node: e.payload for e in events if isinstance(e.payload, t.NodeFailed)}
    assert set(ends) == {"a", "b"}
    assert "c" not in state.nodes


async def test_after_a_crash_a_workflow_continues_node_by_node() -> None:
    forever = asyncio.Event()
    done, cut = Says("done"), Says("cut", forever.wait)
    first = await open_house(flow({"done": done, "cut": cut}))
    name = await first.start()
    while (await first.directory.state(name)).nodes.get("done") != "closed":
        await asyncio.sleep(0)
    await first.supervisor.drain()
    again = Says("again")
    second = House(flow({"done": done, "cut": again}), first.store)
    await second.supervisor.open()
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert (done.worked, again.worked) == (1, 1)
    assert texts(state, "") == ["done", "again"]
    await second.supervisor.close()


async def test_an_agent_node_pauses_while_others_work_and_continues_with_the_answer() -> None:
    @tool(approval=True)
    def pay() -> str:
        """Pay."""
        return "paid"

    def workflow() -> Workflow:
        payer = DeepAgentNode(agent("payer", (call("pay"),), (say("ok"),), tools=(pay,)), "pay")
        writer = DeepAgentNode(agent("writer", (say("text"),)), "write")
        return flow({"pay": payer, "write": writer, "end": Says("end")}, end=("pay", "write"))

    house = await open_house(workflow())
    name = await house.start()
    state = await house.finished(name)
    assert state.phase == "waiting"
    assert state.nodes == {"pay": "open", "write": "closed"}
    number = next(n for n, item in enumerate(state.items) if item.tool == "asked")
    await house.supervisor.answer(name, (Approval(number, approved=True),))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert outputs(state) == ["paid"]
    assert {entry.id for entry in state.registry} == {"pay", "write"}
    await house.supervisor.close()


async def test_an_answer_is_taken_up_while_other_nodes_still_work() -> None:
    paid = asyncio.Event()

    @tool(approval=True)
    async def pay() -> str:
        """Pay."""
        paid.set()
        return "paid"

    payer = DeepAgentNode(agent("payer", (call("pay"),), (say("ok"),), tools=(pay,)), "pay")
    house = await open_house(flow({"pay": payer, "busy": Says("done", paid.wait)}))
    name = await house.start()
    while "asked" not in [item.tool for item in (await house.directory.state(name)).items]:
        await asyncio.sleep(0)
    state = await house.directory.state(name)
    number = next(n for n, item in enumerate(state.items) if item.tool == "asked")
    await house.supervisor.answer(name, (Approval(number, approved=True),))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    await house.supervisor.close()


async def test_an_agent_s_time_is_limited_as_a_node_too() -> None:
    async def for_ever() -> str:
        """Never answer."""
        await asyncio.Event().wait()
        return ""

    limits = AgentLimits(seconds=0.05)
    slow = DeepAgentNode(
        agent("slow", (call("for_ever"),), tools=(for_ever,), limits=limits), "slow"
    )
    state, _ = await run(flow({"slow": slow}))
    assert state.end == t.RunIncomplete("max_seconds")


async def test_a_node_that_breaks_the_grammar_gets_the_reason() -> None:
    class Illegal(Says):
        async def work(self, context: NodeContext, told: tuple[Item, ...]) -> bool:
            context.emit([t.TextDelta(7, "nowhere")])
            return True

    state, _ = await run(flow({"bad": Illegal("")}))
    message = "Node bad broke the event grammar: text.delta: item 7 is not open"
    assert state.end == t.RunFailed("server_error", message)
