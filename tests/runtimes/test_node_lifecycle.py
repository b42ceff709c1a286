"""The conversion of a model's reply into events of the log: calls are complete when the reply is, not
before."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import abandoning
from tailrace.events import types as t
from tailrace.events.items import ProviderItem, ToolCall
from tailrace.events.state import RunState
from tailrace.events.types import Draft
from tailrace.protocols.offered import OfferedCalls, OfferedTools
from tailrace.runtimes.node_lifecycle import ModelReply, ending, opening
from tests.support.logs import request

TWO_CALLS: list[t.Payload] = [
    t.ItemStarted(0, "message"),
    t.TextDelta(0, "Let me look."),
    t.ItemCompleted(0),
    t.ItemStarted(1, "tool_call", name="find", call_id="a", runs_on="server"),
    t.ArgumentsDelta(1, "{}"),
    t.ItemCompleted(1),
    t.ItemStarted(2, "tool_call", name="find", call_id="b", runs_on="client"),
    t.ArgumentsDelta(2, "{}"),
    t.ItemCompleted(2),
]
USAGE = t.Usage("m", finish="tool_calls")


def begun() -> RunState:
    """A run whose agent has begun."""
    state = RunState()
    for draft in [Draft(t.RunStarted(request())), *opening(state, "helper")]:
        state.advance(draft, 0)
    return state


@pytest.mark.parametrize("size", [1, 2, 4, 9, 10])
def test_calls_are_held_until_the_reply_s_usage(size: int) -> None:
    state = begun()
    reply = ModelReply(state)
    told = [*TWO_CALLS, USAGE]
    for start in range(0, len(told), size):
        batch = told[start : start + size]
        for draft in reply.convert(batch):
            state.advance(draft, 0)
        due = {item.tool for item in state.items} - {"none"}
        assert bool(due) == (USAGE in batch), "nobody runs the calls of half a reply"
    assert [item.tool for item in state.items] == ["none", "called", "handed"]


def test_a_reply_that_is_cut_off_leaves_no_call() -> None:
    state = begun()
    for draft in ModelReply(state).convert(TWO_CALLS):
        state.advance(draft, 0)
    state.advance(Draft(t.RunAttempt(2, "a crash")), 0)
    for draft in abandoning.leftovers(state):
        state.advance(draft, 0)
    assert [item.tool for item in state.items] == ["none", "none", "none"]
    assert [item.status for item in state.items] == ["completed", "incomplete", "incomplete"]


def test_items_of_others_move_the_numbers() -> None:
    state = begun()
    reply = ModelReply(state)
    state.advance(reply.convert([t.ItemStarted(0, "message")])[0], 0)
    state.advance(Draft(t.ItemCompleted(0), "main", t.MAIN), 0)
    state.advance(Draft(t.ItemStarted(1, "message"), "main", t.MAIN), 0)  # not of this reply
    state.advance(Draft(t.ItemCompleted(1), "main", t.MAIN), 0)
    moved = reply.convert([t.ItemStarted(1, "message"), t.TextDelta(1, "Hi")])
    assert [draft.payload for draft in moved] == [t.ItemStarted(2, "message"), t.TextDelta(2, "Hi")]
    assert [reply.number(item) for item in (0, 1)] == [0, 2]


def fold(state: RunState, *replies: Sequence[t.Payload]) -> list[t.Payload]:
    """The payloads that the log has of complete replies, one after the other."""
    drafts = [draft for each in replies for draft in _folded(state, each)]
    return [draft.payload for draft in drafts]


def _folded(state: RunState, payloads: Sequence[t.Payload]) -> list[Draft]:
    reply, drafts = ModelReply(state), list[Draft]()
    for (
        payload
    ) in payloads:  # one by one: an item is numbered when the items before it are in the log
        made = reply.convert([payload])
        for draft in made:
            state.advance(draft, 0)
        drafts += made
    return drafts


def nameless(item: int, id: str = "") -> list[t.Payload]:
    """A call with this id; empty if the server gave none."""
    started = t.ItemStarted(item, "tool_call", name="find", call_id=id)
    return [started, t.ArgumentsDelta(item, "{}"), t.ItemCompleted(item)]


def test_each_reply_numbers_its_items_from_0() -> None:
    state = begun()
    message: list[t.Payload] = [t.ItemStarted(0, "message"), t.ItemCompleted(0), t.Usage("m")]
    fold(state, message, message)
    assert [item.reply for item in state.items] == [1, 2]


IDS: dict[str, tuple[list[list[str]], list[str]]] = {
    "none": ([["", ""]], ["call_0", "call_1"]),
    "none in two replies": ([["", ""], [""]], ["call_0", "call_1", "call_2"]),
    "the server's": ([["a", "b"], ["a"]], ["a", "b", "a"]),
    "the server's and none": ([["a", ""], ["", "b"]], ["a", "call_1", "call_2", "b"]),
    "the server's, like one of ours": ([["", "call_0"]], ["call_0", "call_1"]),
}


@pytest.mark.parametrize("name", IDS)
def test_a_call_without_an_id_is_named_after_its_number_in_the_run(name: str) -> None:
    replies, ids = IDS[name]
    state = begun()
    for each in replies:
        calls = [payload for n, id in enumerate(each) for payload in nameless(n, id)]
        fold(state, [*calls, USAGE])
    assert [item.started.call_id for item in state.items] == ids
    contents = [item.content for item in state.items]
    assert [call.call_id for call in contents if isinstance(call, ToolCall)] == ids


def test_a_search_for_tools_without_an_id_has_one_from_its_beginning_to_its_end() -> None:
    offered = OfferedCalls({"find": OfferedTools("tool_search", search=True)})
    state = begun()
    for replies in range(2):
        made = fold(state, offered.convert([*nameless(0), USAGE]))
        found = [p.data for p in made if isinstance(p, t.ItemStarted)]
        wholes = [p.content for p in made if isinstance(p, t.ItemCompleted)]
        found += [whole.data for whole in wholes if isinstance(whole, ProviderItem)]
        assert [data["call_id"] for data in found] == [f"call_{replies}"] * 2
        assert list(found[0]) == list(found[1])


def test_a_reply_that_continues_after_a_crash_keeps_the_ids_of_its_calls() -> None:
    state = begun()
    message: list[t.Payload] = [t.ItemStarted(0, "message"), t.TextDelta(0, "Hi")]
    fold(state, message)  # and its worker dies
    state.advance(Draft(t.RunAttempt(2, "a crash", keeps_replies=True)), 0)
    fold(state, [*message, t.ItemCompleted(0), *nameless(1), USAGE], [*nameless(0), USAGE])
    assert [item.started.call_id for item in state.items] == ["", "call_1", "call_2"]


@given(st.lists(st.booleans(), max_size=12), st.data())
def test_calls_of_parallel_agents_have_different_ids(
    whose: list[bool], data: st.DataObject
) -> None:
    """Two agents reply in turns. A call has the id of its place, or of its item where that id is taken."""
    state = begun()
    state.advance(Draft(t.AgentStarted("other", "subagent", t.MAIN), "main", "other"), 0)
    replies = {True: ModelReply(state), False: ModelReply(state, agent="other")}
    numbers = {True: itertools.count(), False: itertools.count()}
    for agent in whose:
        batch = data.draw(st.integers(1, 3), "calls at once")
        calls = [payload for _ in range(batch) for payload in nameless(next(numbers[agent]))]
        for draft in replies[agent].convert(calls):
            state.advance(draft, 0)
    ids = [item.started.call_id for item in state.items]
    assert len(set(ids)) == len(ids)
    if len(set(whose)) == 1:
        assert ids == [f"call_{n}" for n in range(len(ids))]


@pytest.mark.parametrize(
    ("finish", "end"),
    [
        ("stop", t.RunCompleted()),
        ("tool_calls", t.RunCompleted()),
        ("length", t.RunIncomplete("max_output_tokens")),
        ("content_filter", t.RunIncomplete("content_filter")),
    ],
)
def test_the_run_ends_as_the_last_reply_did(finish: t.Finish, end: t.RunEnd) -> None:
    state = begun()
    state.advance(Draft(t.Usage("m", finish=finish), "main", t.MAIN), 0)
    assert ending(state)[-1].payload == end
