"""How much of a conversation is kept, and which part is removed when it is larger."""

from __future__ import annotations

import msgspec
import pytest

from tailrace.errors import BadRequest, TooLarge
from tailrace.events.items import Item, Message, TextPart, ToolCall, ToolOutput
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.log.stores.nats.safety import MAX_PAYLOAD
from tailrace.runs import conversations
from tailrace.runs.conversations import Conversation, Conversations, Entry, newest_that_fit
from tailrace.runs.directory import Directory
from tailrace.runs.owner import Owner
from tests.runs.test_life import talk
from tests.support.house import Fake, open_house
from tests.support.logs import user

ME = Owner("local")


def turn(number: int, text: str = "hm") -> list[Entry]:
    """A user message, a call, its output, and an answer."""
    items: list[Item] = [
        user(text),
        ToolCall(call_id="c", name="find", arguments="{}"),
        ToolOutput(call_id="c", output=(TextPart(text),)),
        Message(role="assistant", content=(TextPart(text),)),
    ]
    return [Entry(f"item_{number}_{n}", item) for n, item in enumerate(items)]


def many(turns: int, text: str = "hm") -> tuple[Entry, ...]:
    return tuple(entry for number in range(turns) for entry in turn(number, text))


SMALL = many(100)


@pytest.mark.parametrize(
    "entries",
    [
        many(conversations.MOST_ENTRIES),
        many(50, "a" * 100_000),
        many(3, "a" * 4_000_000),
        tuple(Entry(f"run{n}", run=f"run{n}") for n in range(10_000)),
        (*many(1, "a" * 9_000_000), *SMALL),
    ],
)
def test_the_oldest_goes_and_what_is_left_begins_with_a_user(entries: tuple[Entry, ...]) -> None:
    left = newest_that_fit(entries)
    assert left == entries[len(entries) - len(left) :]
    assert len(left) <= conversations.MOST_ENTRIES
    assert len(msgspec.json.encode(left)) < MAX_PAYLOAD
    assert len(left) < len(entries)
    if left and left[0].item is not None:
        assert isinstance(left[0].item, Message)
        assert left[0].item.role == "user"
    assert newest_that_fit(left) == left


def test_what_there_is_room_for_stays() -> None:
    assert newest_that_fit(SMALL) == SMALL
    assert newest_that_fit(()) == ()
    assert newest_that_fit((*many(1, "a" * 9_000_000), *SMALL)) == SMALL


async def test_a_client_that_fills_a_conversation_gets_an_error() -> None:
    store = MemoryStore()
    await store.open()
    kept = Conversations(store, Directory(store), lambda: 1)
    await kept.create("conv_1", ME, {}, [user("a" * 4_000_000)])
    with pytest.raises(BadRequest) as told:
        await kept.add_items("conv_1", ME, [user("a" * 4_000_000)])
    assert told.value.code == "conversation_full"
    with pytest.raises(BadRequest):
        await kept.create("conv_2", ME, {}, [user("a" * 9_000_000)])
    assert len((await kept.get("conv_1", ME)).entries) == 1
    await store.close()


async def test_a_conversation_that_no_model_could_read_is_413(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversations, "HISTORY_BYTES", 1_000)
    house = await open_house(Fake(talk))
    kept = Conversations(house.store, house.directory, lambda: 1)
    runs = [await house.start(text="a" * 600) for _ in range(2)]
    for run in runs:
        await house.finished(run)
    entries = tuple(Entry(run, run=run) for run in runs)
    one = Conversation(id="conv_1", tenant="local", created=1, entries=entries[:1])
    assert len(await kept.entries(one)) == 2
    with pytest.raises(TooLarge) as told:
        await kept.entries(msgspec.structs.replace(one, entries=entries))
    assert told.value.code == "context_length_exceeded"
    await house.supervisor.close()
