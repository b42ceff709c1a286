"""A run's checkpoints in a store's records: what one process has written, the next one finds."""

from __future__ import annotations

import asyncio
from typing import Any

from deepagents import create_deep_agent
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from tailrace.log.stores.memory import MemoryStore
from tailrace.runs.owner import Owner
from tailrace.runtimes.adapters.langgraph_saver import Saver
from tailrace.runtimes.contract import KEPT
from tests.support.langgraph_agents import model, opened, tool
from tests.support.team import call, say

THREAD: Any = {"configurable": {"thread_id": "run"}}


async def flushed() -> None:
    """A log that is always on the disk already."""


def deep(saver: Saver) -> Any:
    """An agent whose messages are kept as differences, which stops for an answer in its second tool."""

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
    assert second.begun
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
    await second.close()
    assert not await store.records.scan(KEPT)


async def test_results_and_what_was_asked_come_back_and_runs_are_kept_apart() -> None:
    store = MemoryStore()
    await store.open()
    one, other = Saver(store.records, "one", flushed), Saver(store.records, "other", flushed)
    for n in range(120):
        await one.keep_asked(f"i{n}", [n], single=n % 2 == 1)
    await one.keep_result(3, Command(update={"notes": ["a"]}))
    await other.keep_read(7, 2)
    after = Saver(store.records, "one", flushed)
    await after.open()
    assert after.asked == {f"i{n}": [n] for n in range(120)}
    assert "i1" in after.single
    assert "i2" not in after.single
    result = after.result(3)
    assert isinstance(result, Command)
    assert result.update == {"notes": ["a"]}
    assert after.result(4) is None
    assert not after.begun
    await after.close()
    assert [record.key for record in await store.records.scan(KEPT)] == ["other/0000000001"]


async def test_what_is_kept_of_a_run_goes_with_its_log() -> None:
    async def ask(state: MessagesState) -> None:
        interrupt("When?")

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    house = await opened(builder.compile())
    name = await house.start()
    await house.finished(name)
    assert await house.store.records.scan(KEPT)
    await house.supervisor.cancel(name, "a test")
    await house.sweeper.forget(await house.directory.find(name, Owner("local")))
    assert not await house.store.records.scan(KEPT)
    await house.supervisor.close()


async def test_a_checkpoint_waits_for_what_the_log_was_told_before_it() -> None:
    """Else a crash between the two leaves a graph that has heard a reply which is in no log."""
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
    assert not await store.records.scan(KEPT)
    durable.set()
    await working
    assert await store.records.scan(KEPT)
