"""What a graph says to the user: tokens of agents in nodes as they come, each answer once, and nothing that
only the graph reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Literal, cast

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from tailrace.errors import ConfigError
from tailrace.events import history
from tailrace.events import types as t
from tailrace.events.items import Message, text_of
from tailrace.events.state import RunState
from tailrace.events.types import Event
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.protocols.openai_chat import reply as chat_reply
from tailrace.protocols.openai_chat.stream import ChatEncoder, ChatStreamOptions
from tailrace.protocols.openai_responses.stream import ResponsesEncoder, ResponsesStreamOptions
from tailrace.runtimes.adapters.langgraph.runtime import LangGraphRuntime
from tailrace.runtimes.contract import Runtime
from tests.support.house import House, open_house
from tests.support.langgraph_agents import ScriptModel, model, tool
from tests.support.logs import RUN
from tests.support.team import call, say


async def run(graph: Any, **options: Any) -> tuple[RunState, Sequence[Event]]:
    runtime = LangGraphRuntime(graph, "lead", **options)
    house = await open_house(cast("Runtime", runtime))
    runtime.keep_in(house.store)
    name = await house.start()
    state = await house.finished(name)
    events = await house.directory.events(name)
    await house.supervisor.close()
    return state, events


def answer(events: Sequence[Event]) -> str:
    """What a client without the concept of agents gets: the same on both surfaces, streamed or not."""
    frames = b"".join(ChatEncoder(RUN, ChatStreamOptions()).encode(events)).decode()
    chunks = [json.loads(line[6:]) for line in frames.splitlines() if line.startswith("data: {")]
    streamed = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    document, _ = chat_reply.completion(RUN, events, ChatStreamOptions())
    assert json.loads(document)["choices"][0]["message"]["content"] == streamed
    encoder = ResponsesEncoder(RUN, ResponsesStreamOptions())
    encoder.encode(events)
    output: list[Any] = cast("list[Any]", encoder.document()["output"])
    texts = [item["content"][0]["text"] for item in output if item["type"] == "message"]
    assert "\n\n".join(texts) == streamed
    return streamed


def swarm(*, command: bool = True) -> Any:
    """Two agents that hand over to each other, as langgraph-swarm builds them: nodes without edges."""

    def transfer() -> Any:
        """Transfer to Bob."""
        handed = ToolMessage("Transferred.", tool_call_id="call_alice_0_1")
        return Command(goto="bob", graph=Command.PARENT, update={"messages": [handed]})

    alice = create_agent(
        model("alice", (say("I ask Bob. "), call("transfer"))), tools=[tool(transfer)], name="alice"
    )
    bob = create_agent(model("bob", (say("Bob "), say("is here."))), name="bob")
    builder = StateGraph(MessagesState)
    builder.add_node("alice", alice, destinations=("bob",))
    builder.add_node("bob", bob, destinations=("alice",))
    builder.add_edge(START, "alice")
    return builder.compile()


async def test_agents_of_a_swarm_stream_as_the_answer() -> None:
    state, events = await run(swarm())
    assert state.end == t.RunCompleted()
    assert answer(events) == "I ask Bob. \n\nBob is here."
    deltas = [e.payload.text for e in events if isinstance(e.payload, t.TextDelta)]
    assert deltas == ["I ask Bob. ", "Bob ", "is here."], "as they came, and once"
    said = [text_of(m.content) for m in history.made_by(state) if isinstance(m, Message)]
    assert said == ["I ask Bob. ", "Bob is here."], "the next turn knows what the user knows"


async def test_a_supervisor_speaks_and_its_workers_do_not() -> None:
    def to_worker() -> Any:
        """Send to the worker."""
        handed = ToolMessage("Sent.", tool_call_id="call_boss_0_0")
        return Command(goto="worker", graph=Command.PARENT, update={"messages": [handed]})

    boss = create_agent(
        model("boss", (call("to_worker"),), (say("It is 4."),)),
        tools=[tool(to_worker)],
        name="boss",
    )
    worker = create_agent(model("worker", (say("2 + 2 = 4"),)), name="worker")

    async def work(state: MessagesState) -> Any:
        result = await worker.ainvoke(cast("Any", state))
        return {"messages": [AIMessage(result["messages"][-1].text, name="worker")]}

    builder = StateGraph(MessagesState)
    builder.add_node("boss", boss, destinations=("worker", END))
    builder.add_node("worker", work)
    builder.add_edge(START, "boss")
    builder.add_edge("worker", "boss")
    state, events = await run(builder.compile())
    assert state.end == t.RunCompleted()
    assert answer(events) == "It is 4."
    kinds = {entry.name: entry.kind for entry in state.registry}
    assert (kinds["boss"], kinds["worker"]) == ("main", "subagent")


def planner(**names: Any) -> Any:
    """A node that plans, one that writes: each calls a model itself."""
    plans, writes = model("plans", (say("First I think."),)), model("writes", (say("Done."),))

    async def plan(state: MessagesState) -> Any:
        return {"messages": [await plans.ainvoke(state["messages"])]}

    async def write(state: MessagesState) -> Any:
        return {"messages": [await writes.ainvoke("write")]}

    builder = StateGraph(MessagesState)
    builder.add_node("plan", plan)
    builder.add_node("write", write)
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "write")
    builder.add_edge("write", END)
    return builder.compile()


async def test_answer_nodes_decide_what_is_the_answer() -> None:
    _, events = await run(planner())
    assert answer(events) == "First I think.\n\nDone."
    _, events = await run(planner(), answer_nodes=["write"])
    assert answer(events) == "Done."
    thoughts = [e.payload.text for e in events if isinstance(e.payload, t.ReasoningDelta)]
    assert thoughts == ["First I think."]
    with pytest.raises(ConfigError, match="the graph has no node 'writer'"):
        LangGraphRuntime(planner(), "lead", answer_nodes=["writer"])


async def test_the_last_message_is_the_answer_if_no_answer_node_has_spoken() -> None:
    _, events = await run(planner(), answer_nodes=["plan"])
    assert answer(events).endswith("Done.")
    state, events = await run(swarm(), answer_nodes=["alice"])
    assert answer(events) == "I ask Bob. \n\nBob is here."
    assert {entry.name: entry.kind for entry in state.registry}["bob"] == "subagent"


class Route(BaseModel):
    """Where to go."""

    step: Literal["poem", "joke"]


def router(calls: list[str], writing: asyncio.Event | None = None) -> Any:
    """A router by structured output, a model with the tag `nostream`, and the answer; its first time it sets
    `writing` and does not return."""

    class Counted(ScriptModel):
        async def _astream(self, *arguments: Any, **options: Any) -> Any:
            calls.append(self.name)
            if self.name == "writes" and writing is not None and not writing.is_set():
                writing.set()
                await asyncio.Event().wait()
            async for chunk in super()._astream(*arguments, **options):
                yield chunk

    routes = Counted(name="routes", replies=((call("Route", step="poem"),),))
    hidden = Counted(name="hidden", replies=((say("a secret note"),),))
    writes = Counted(name="writes", replies=((say("A poem."),),))

    async def node(state: MessagesState) -> Any:
        route = await routes.with_structured_output(Route).ainvoke("where?")
        assert cast("Route", route).step == "poem"
        note = await hidden.with_config(tags=["nostream"]).ainvoke("note")
        assert note.text == "a secret note"
        return {"messages": [await writes.ainvoke("write")]}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


async def test_calls_that_only_the_graph_reads_are_not_shown() -> None:
    state, events = await run(router([]))
    assert state.end == t.RunCompleted(), state.end
    assert answer(events) == "A poem."
    assert "secret" not in str(events)
    assert [item.started.kind for item in state.items] == ["message"]
    purposes = [e.payload.purpose for e in events if isinstance(e.payload, t.Usage)]
    assert purposes == ["internal", "internal", "reply"], "their tokens are counted"


async def test_they_are_not_made_again_after_a_crash() -> None:
    calls: list[str] = []
    writing = asyncio.Event()
    graph = router(calls, writing)
    store = MemoryStore()
    await store.open()

    async def opened() -> House:
        runtime = LangGraphRuntime(graph, "lead")
        runtime.keep_in(store)
        house = House(cast("Runtime", runtime), store)
        await house.supervisor.open()
        return house

    first = await opened()
    name = await first.start()
    await writing.wait()
    await first.supervisor.drain()
    second = await opened()
    state = await second.finished(name)
    assert state.end == t.RunCompleted()
    assert calls.count("routes") == calls.count("hidden") == 1
    await second.supervisor.close()
