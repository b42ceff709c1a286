"""Entries of any size, over the contract of records: stored in parts, whole or not at all, and deleted with
their subject."""

from __future__ import annotations

import pytest

from tailrace.errors import ModelFailed
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runtimes.adapters.journal import MAX_STATE, PART, Journal, ThreadStates
from tailrace.runtimes.contract import CHECKPOINTS, STATES


async def flushed() -> None:
    """A log whose events are durable at once."""


async def opened() -> MemoryStore:
    store = MemoryStore()
    await store.open()
    return store


LARGE = b"x" * (2 * PART + 7)


async def test_large_entries_return_in_their_order() -> None:
    store = await opened()
    first = Journal(store.records, "run", flushed)
    for entry in (["a", 1], ["b", LARGE], ["c", b"y" * PART], ["d", 2]):
        await first.add(entry)
    records = await store.records.scan(CHECKPOINTS)
    assert max(len(record.value) for record in records) < PART + 100
    second = Journal(store.records, "run", flushed)
    assert [entry for _, entry in await second.load()] == [
        ["a", 1],
        ["b", LARGE],
        ["c", b"y" * PART],
        ["d", 2],
    ]
    await second.add(["e", 3])
    entries = [entry for _, entry in await Journal(store.records, "run", flushed).load()]
    assert entries[-1] == ["e", 3]
    assert len(entries) == 5


@pytest.mark.parametrize("reopened", [False, True])
async def test_a_large_entry_is_deleted_with_its_subject(reopened: bool) -> None:
    store = await opened()
    journal = Journal(store.records, "run", flushed)
    await journal.add(["kept", 1], about="one")
    await journal.add(["b", LARGE], about="other")
    if reopened:
        journal = Journal(store.records, "run", flushed)
        for key, entry in await journal.load():
            journal.index(key, "other" if entry[0] == "b" else "one")
    await journal.forget("other")
    assert [entry for _, entry in await journal.load()] == [["kept", 1]]
    assert len(await store.records.scan(CHECKPOINTS)) == 1


async def test_an_entry_without_its_last_part_does_not_exist() -> None:
    """Its process died while it was written."""
    store = await opened()
    journal = Journal(store.records, "run", flushed)
    await journal.add(["b", LARGE])
    *_, last = await store.records.scan(CHECKPOINTS)
    await store.records.delete(CHECKPOINTS, last.key)
    await journal.add(["c", 1])
    assert [entry for _, entry in await journal.load()] == [["c", 1]]


async def test_a_state_is_one_of_its_run_and_adapter() -> None:
    store = await opened()
    states = ThreadStates(store.records)
    await states.save("run", "langgraph", {"files": LARGE})
    await states.save("run2", "langgraph", "x")
    assert await states.load("run", "langgraph") == {"files": LARGE}
    assert await states.load("run", "openai_agents") is None
    assert await states.load("ru", "langgraph") is None
    assert await states.load("", "langgraph") is None
    with pytest.raises(ModelFailed, match="more than the 67108864 that are stored"):
        await states.save("run3", "langgraph", b"x" * MAX_STATE)
    assert not [r for r in await store.records.scan(STATES) if r.key.startswith("run3")]
