"""The grammar's walker: the events that it refuses, and that folding a log gives the state of its writer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import IllegalEvent
from tailrace.events import history, stored
from tailrace.events import types as t
from tailrace.events.items import Message, TextPart
from tailrace.events.state import RunState, fold
from tests.support.legal_logs import legal_logs
from tests.support.logs import NODE, call, log, request, text
from tests.support.scenarios import SCENARIOS

MESSAGE = t.ItemStarted(0, "message")
CALL = call(0, "find", "{}", runs_on="server")

ILLEGAL: dict[str, list[t.Payload]] = {
    "a delta before its item": [t.TextDelta(0, "a")],
    "a delta after its item": [*text(0, "a"), t.TextDelta(0, "b")],
    "a delta of another kind": [MESSAGE, t.ArgumentsDelta(0, "{}")],
    "an item out of order": [t.ItemStarted(1, "message")],
    "an item twice": [MESSAGE, MESSAGE],
    "a part that skips one": [MESSAGE, t.TextDelta(0, "a", part=1)],
    "a part that goes back": [
        MESSAGE,
        t.TextDelta(0, "a"),
        t.RefusalDelta(0, "b", 1),
        t.TextDelta(0, "c"),
    ],
    "a part that changes its kind": [MESSAGE, t.TextDelta(0, "a"), t.RefusalDelta(0, "b")],
    "content that was not streamed": [
        MESSAGE,
        t.TextDelta(0, "a"),
        t.ItemCompleted(0, content=Message(role="assistant", content=(TextPart("b"),))),
    ],
    "an image without content": [t.ItemStarted(0, "image"), t.ItemCompleted(0)],
    "a tool before its call": [t.ToolStarted(0)],
    "a tool of a message": [*text(0, "a"), t.ToolStarted(0)],
    "a client's tool that starts here": [*call(0, "find", "{}"), t.ToolStarted(0)],
    "a tool twice": [*CALL, t.ToolStarted(0), t.ToolStarted(0)],
    "a tool after its answer": [
        *CALL,
        t.ToolStarted(0),
        t.ToolCompleted(0, "a"),
        t.ToolProgress(0),
    ],
    "an end with an open item": [MESSAGE, t.RunCompleted()],
    "an end with an open node": [t.RunCompleted()],
    "the same attempt again": [t.RunAttempt(1, "again")],
    "a second start": [t.RunStarted(request())],
    "waiting inside an item": [MESSAGE, t.RunWaiting("approval")],
    "an item while waiting": [t.RunWaiting("approval"), MESSAGE],
    "usage inside an item": [MESSAGE, t.Usage("m")],
    "an answer nobody asked for": [t.InputReceived("q")],
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_events_are_refused_and_change_nothing(name: str) -> None:
    *before, last = ILLEGAL[name]
    events = log(before)
    state = fold(events)
    draft = t.Draft(last) if isinstance(last, t.RunEvent) else t.Draft(last, NODE, t.MAIN)
    with pytest.raises(IllegalEvent):
        state.advance(draft, 0)
    assert state.seq == len(events) - 1
    state.advance(t.Draft(t.RunAttempt(9, "still usable")), 0)


def test_nothing_follows_the_end() -> None:
    state = fold(log([], end=t.RunCompleted()))
    with pytest.raises(IllegalEvent):
        state.advance(t.Draft(t.RunAttempt(2, "late")), 0)


def test_an_item_belongs_to_the_agent_that_started_it() -> None:
    state = fold(log([MESSAGE, t.Draft(t.AgentStarted("b", "subagent", t.MAIN), NODE, "b#1")]))
    with pytest.raises(IllegalEvent):
        state.advance(t.Draft(t.TextDelta(0, "mine?"), NODE, "b#1"), 0)


@given(events=legal_logs())
def test_a_stored_log_reads_back_the_same(events: Sequence[t.Event]) -> None:
    body = stored.frame(events).body
    assert stored.decode(body) == list(events)
    assert stored.frame(stored.decode(body)).body == body


@given(events=legal_logs(ended=False), cut=st.integers(0, 40))
def test_any_prefix_can_be_ended_any_way(events: Sequence[t.Event], cut: int) -> None:
    for end in (t.RunCompleted(), t.RunFailed("server_error", ""), t.RunCancelled("x")):
        state = fold(events[: max(cut, 1)])
        if state.phase == "waiting" and isinstance(end, t.RunCompleted):
            continue  # it cannot complete before a client answers
        for draft in state.settle(end):
            state.advance(draft, 0)
        state.advance(t.Draft(end), 0)
        assert state.is_finished


def test_what_a_dead_worker_left_is_shown_but_not_remembered() -> None:
    made = history.made_by(fold(SCENARIOS["two_attempts"]()))
    assert made == (Message(role="assistant", content=(TextPart("The answer is 4."),)),)


def test_history_has_a_replys_items_before_its_tools_outputs() -> None:
    kinds = [type(item).__name__ for item in history.made_by(fold(SCENARIOS["parallel_tools"]()))]
    assert kinds == ["Message", "ToolCall", "ToolCall", "ToolOutput", "ToolOutput", "Message"]


def test_usage_adds_up_by_agent_and_model() -> None:
    state = fold(SCENARIOS["parallel_tools"]())
    assert list(state.usage) == [(t.MAIN, "fast")]
    total = state.total()
    assert (total.input, total.cached, total.output, total.reasoning, total.calls) == (
        24,
        8,
        14,
        4,
        2,
    )


def test_a_new_state_has_no_request() -> None:
    with pytest.raises(IllegalEvent):
        RunState().start_request()


def test_an_approval_of_a_running_tool_is_void_after_a_crash() -> None:
    """Rule 8; it still applies to a tool that has not begun."""
    state = RunState()
    payloads = [
        *call(0, "pay", "{}", runs_on="server"),
        *call(1, "pay", "{}", runs_on="server"),
    ]
    asked = [t.ApprovalRequested(0, "Pay?"), t.ApprovalRequested(1, "Pay?")]
    said = [t.ApprovalResolved(0, approved=True), t.ApprovalResolved(1, approved=True)]
    for event in log([*payloads, *asked, *said, t.ToolStarted(0)]):
        state.apply(event)
    assert [item.approval is not None for item in state.items] == [True, True]
    state.advance(t.Draft(t.RunAttempt(2, "a crash")), 0)
    assert [item.tool for item in state.items] == ["interrupted", "called"]
    assert [item.approval is not None for item in state.items] == [False, True]
