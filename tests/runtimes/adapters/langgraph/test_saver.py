"""A run's checkpoints in a store's records: the next process finds the checkpoints of the last one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from deepagents import create_deep_agent
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from tailrace.events import types as t
from tailrace.events.answers import Reply
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs.owner import Owner
from tailrace.runtimes.adapters.langgraph.saver import Saver
from tailrace.runtimes.contract import CHECKPOINTS
from tests.support.house import House
from tests.support.langgraph_agents import agent, model, opened, tool
from tests.support.specs import send, spec
from tests.support.team import call, say, texts

THREAD: Any = {"configurable": {"thread_id": "run"}}


async def flushed() -> None:
    """A log whose events are durable at once."""


def deep(saver: Saver) -> Any:
    """An agent whose messages are stored as differences, and which stops for an answer in its second tool."""

    def ask(what: str) -> str:
        """Ask."""
        return f"{what}: {interrupt(what)}"

    replies = (
        (call("write_file", file_path="/a.txt", content="hello"),),
        (call("ask", what="Size"), call("ask", what="Colour")),
        (say("ok"),),
    )
    return create_deep_agent(model("lead", *replies), tools=[tool(ask)], checkpointer=saver)


def said(state: Any) -> list[str]:
    return [message.text for message in state.values["messages"]]


async def test_another_process_finds_what_one_has_written() -> None:
    store = MemoryStore()
    await store.open()
    first = Saver(store.records, "run", flushed)
    await deep(first).ainvoke({"messages": [("user", "Hi")]}, THREAD, durability="sync")
    second = Saver(store.records, "run", flushed)
    await second.open()
    assert second.has_checkpoint
    assert second.storage == first.storage
    assert second.blobs == first.blobs
    assert {k: v for k, v in second.writes.items() if v} == {
        k: v for k, v in first.writes.items() if v
    }
    there, here = [await deep(saver).aget_state(THREAD) for saver in (first, second)]
    assert said(there) == said(here)
    assert here.values["files"]["/a.txt"]["content"] == "hello"
    assert there.interrupts == here.interrupts
    assert len(here.interrupts) == 2


async def test_answers_are_handed_in_each_to_its_task() -> None:
    store = MemoryStore()
    await store.open()
    first = Saver(store.records, "run", flushed)
    await deep(first).ainvoke({"messages": [("user", "Hi")]}, THREAD, durability="sync")
    second = Saver(store.records, "run", flushed)
    await second.open()
    stopped = (await deep(second).aget_state(THREAD)).interrupts
    second.answers = {each.id: f"{each.value} of choice" for each in stopped}
    after = await deep(second).ainvoke(None, THREAD, durability="sync")
    texts = [message.text for message in after["messages"]]
    assert texts[-3:] == ["Size: Size of choice", "Colour: Colour of choice", "ok"]


async def test_results_and_questions_are_kept_per_run() -> None:
    store = MemoryStore()
    await store.open()
    one, other = Saver(store.records, "one", flushed), Saver(store.records, "other", flushed)
    for n in range(120):
        await one.keep_approvals(f"i{n}", [n], single=n % 2 == 1)
    await one.keep_result(3, Command(update={"notes": ["a"]}))
    await other.keep_read(7, 2)
    after = Saver(store.records, "one", flushed)
    await after.open()
    assert after.approvals == {f"i{n}": [n] for n in range(120)}
    assert "i1" in after.single
    assert "i2" not in after.single
    result = after.result(3)
    assert isinstance(result, Command)
    assert result.update == {"notes": ["a"]}
    assert after.result(4) is None
    assert not after.has_checkpoint


def _asks(after: Any) -> Any:
    """A graph that asks a question, and then works."""

    async def ask(state: MessagesState) -> None:
        interrupt("When?")

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_node("after", after)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "after")
    return builder.compile()


async def _waits(graph: Any) -> tuple[House, str]:
    """A run that waits and has a stored checkpoint."""
    house = await opened(graph)
    name = await house.start()
    (question,) = (await house.finished(name)).questions
    assert await house.store.records.scan(CHECKPOINTS)
    return house, question


async def test_what_is_kept_of_a_run_goes_with_its_log() -> None:
    house, _ = await _waits(_asks(lambda _: None))
    (record,) = (await house.directory.page(Owner("local"))).runs
    await house.sweeper.forget(record)
    assert not await house.store.records.scan(CHECKPOINTS)
    await house.supervisor.close()


async def test_a_checkpoint_waits_for_the_events_emitted_before_it() -> None:
    """Otherwise a crash between the two leaves a graph that has received a reply which is in no log."""
    store = MemoryStore()
    await store.open()
    durable = asyncio.Event()
    asked = asyncio.Event()

    async def flush() -> None:
        asked.set()
        await durable.wait()

    graph = deep(Saver(store.records, "run", flush))
    working = asyncio.create_task(
        graph.ainvoke({"messages": [("user", "Hi")]}, THREAD, durability="sync")
    )
    await asked.wait()
    assert not await store.records.scan(CHECKPOINTS)
    durable.set()
    await working
    assert await store.records.scan(CHECKPOINTS)


async def _fails(_: MessagesState) -> None:
    raise ValueError


async def _loops(_: MessagesState) -> None:
    raise GraphRecursionError


async def _hangs(_: MessagesState) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("after", "end"),
    [
        (lambda _: None, t.RunCompleted()),
        (_fails, t.RunFailed("server_error", "The agent raised ValueError.")),
        (_loops, t.RunIncomplete("max_turns")),
        (_hangs, t.RunCancelled("a test")),
        (None, t.RunCancelled("a test")),
    ],
    ids=["completed", "failed", "incomplete", "cancelled", "cancelled while it waits"],
)
async def test_nothing_is_kept_of_a_run_that_has_ended(after: Any, end: t.RunEnd) -> None:
    house, question = await _waits(_asks(after or (lambda _: None)))
    (record,) = (await house.directory.page(Owner("local"))).runs
    if after is not None:
        await house.supervisor.answer(record.run, (Reply(question, "now"),))
    if isinstance(end, t.RunCancelled):
        await house.supervisor.cancel(record.run, "a test")
    assert (await house.finished(record.run)).end == end
    assert not await house.store.records.scan(CHECKPOINTS)
    await house.supervisor.close()


async def _grown(turns: int, *, below: bool) -> tuple[int, int]:
    """The stored bytes, in records and in memory, after this many calls of a tool or an agent."""

    def find() -> str:
        """Find."""
        return "x" * 1000

    def ask() -> str:
        """Ask."""
        return str(interrupt("When?"))

    helper = spec("helper", (call("find"),), (say("Found."),), tools=(find,))
    turn = (send("helper"),) if below else (call("find"),)
    lead = spec(
        "lead",
        *[turn for _ in range(turns)],
        (call("ask"),),
        tools=(find, ask),
        below=(helper,) if below else (),
    )
    house = await opened(agent(lead), max_turns=1000)
    state = await house.finished(await house.start())
    assert state.phase == "waiting"
    size, after = 0, ""
    while page := await house.store.records.scan(CHECKPOINTS, after=after):
        size += sum(len(record.value) for record in page)
        after = page[-1].key
    saver = Saver(house.store.records, after.partition("/")[0], flushed)
    await saver.open()
    memory = sum(len(value) for _, value in saver.blobs.values())
    await house.supervisor.close()
    return size, memory


@pytest.mark.parametrize("below", [False, True])
async def test_what_is_kept_grows_as_the_conversation_does(below: bool) -> None:
    (size, memory), (more, more_memory) = [await _grown(n, below=below) for n in (5, 20)]
    assert more < 4.4 * size
    assert more_memory < 4.4 * memory
    assert size < 40_000


async def test_a_channel_of_differences_keeps_its_history_to_the_last_whole() -> None:
    replies = [(call("write_file", file_path=f"/{n}.txt", content="x" * 100),) for n in range(60)]

    def ask() -> str:
        """Ask."""
        return str(interrupt("When?"))

    lead = create_deep_agent(
        model("lead", *replies, (call("ask"),), (say("ok"),)), tools=[tool(ask)]
    )
    house = await opened(lead, max_turns=1000)
    name = await house.start()
    (question,) = (await house.finished(name)).questions
    again = await opened(lead, house, max_turns=1000)
    await again.supervisor.answer(name, (Reply(question, "now"),))
    state = await again.finished(name)
    assert state.end == t.RunCompleted()
    shown = [e.payload for e in await again.directory.events(name)]
    files = [p.data for p in shown if isinstance(p, t.Custom) and p.name == "files"]
    assert len(files) == 60
    assert texts(state)[-1] == "ok"
    await again.supervisor.close()
