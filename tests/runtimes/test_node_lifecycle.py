"""A model's reply on its way into the log: its calls are whole when the reply is, not before."""

from __future__ import annotations

import pytest

from tailrace.events import abandoning
from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.events.types import Draft
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
        for draft in reply.said(batch):
            state.advance(draft, 0)
        due = {item.tool for item in state.items} - {"none"}
        assert bool(due) == (USAGE in batch), "nobody runs the calls of half a reply"
    assert [item.tool for item in state.items] == ["none", "called", "handed"]


def test_a_reply_that_is_cut_off_leaves_no_call() -> None:
    state = begun()
    for draft in ModelReply(state).said(TWO_CALLS):
        state.advance(draft, 0)
    state.advance(Draft(t.RunAttempt(2, "a crash")), 0)
    for draft in abandoning.leftovers(state):
        state.advance(draft, 0)
    assert [item.tool for item in state.items] == ["none", "none", "none"]
    assert [item.status for item in state.items] == ["completed", "incomplete", "incomplete"]


def test_items_of_others_move_the_numbers() -> None:
    state = begun()
    reply = ModelReply(state)
    numbers = reply.numbers()
    first, second = next(numbers), next(numbers)
    assert (first, second) == (0, 1)
    state.advance(reply.said([t.ItemStarted(first, "message")])[0], 0)
    state.advance(Draft(t.ItemCompleted(0), "main", t.MAIN), 0)
    state.advance(Draft(t.ItemStarted(1, "message"), "main", t.MAIN), 0)  # somebody else's
    state.advance(Draft(t.ItemCompleted(1), "main", t.MAIN), 0)
    (moved,) = reply.said([t.ItemStarted(second, "message")])
    assert moved.payload == t.ItemStarted(2, "message")


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
