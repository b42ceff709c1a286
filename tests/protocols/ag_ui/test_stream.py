"""Single rules of the AG-UI stream, each by the smallest log that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.events.request import RunRequest, Settings
from tailrace.protocols.ag_ui import stream, wire
from tests.support import agui, strict
from tests.support.logs import NODE, RUN, call, log, request, text

Event = dict[str, Any]
SUB = "researcher"


def _shown(events: Sequence[t.Event], turn: int | None = None) -> list[Event]:
    frames = stream.AgUiEncoder(RUN, stream.AgUiStreamOptions(turn)).encode(events)
    strict.agui(frames)
    return agui.events(frames)


def _log(*payloads: t.Payload | t.Draft, asked: RunRequest | None = None) -> list[t.Event]:
    return log(payloads, asked, end=t.RunCompleted())


def _of(kind: str, events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event["type"] == kind]


def _asked(called: str = "r1", surface: str = "agui", **extra: Json) -> RunRequest:
    told = {"protocolVersion": "1.0", **extra}
    settings = Settings(origin=surface, extra={k: v for k, v in told.items() if v is not None})
    return request(surface=surface, session="t1", client_names=called, settings=settings)


def test_names_are_the_clients_where_it_is_one_of_ag_ui() -> None:
    first, *_, last = _shown(_log(asked=_asked(parentRunId="r0", state={"a": [1]})))
    assert (first["threadId"], first["runId"], first["parentRunId"]) == ("t1", "r1", "r0")
    assert (last["threadId"], last["runId"]) == ("t1", "r1")
    (state,) = _of("STATE_SNAPSHOT", _shown(_log(asked=_asked(state={"a": [1]}))))
    assert state["snapshot"] == {"a": [1]}
    other, *_ = _shown(_log(asked=_asked("msg_1", "ui", parentRunId="r0", state=1)))
    assert other == {
        "type": "RUN_STARTED",
        "threadId": "t1",
        "runId": f"run_{RUN}",
        "protocolVersion": "1.0",
    }


def test_what_a_message_has_no_field_for_is_metadata() -> None:
    cite: dict[str, Json] = {"type": "url_citation", "url": "http://a/"}
    events = _shown(
        _log(
            t.ItemStarted(0, "message"),
            t.TextDelta(0, "x"),
            t.AnnotationAdded(0, cite),
            t.ItemCompleted(0),
            t.ItemStarted(1, "message"),
            t.RefusalDelta(1, "No."),
            t.ItemCompleted(1, "incomplete"),
            *text(2, "", ""),
        )
    )
    told = [event.get("metadata") for event in _of("TEXT_MESSAGE_END", events)]
    assert told == [
        {"tailrace": {"annotations": [cite]}},
        {"tailrace": {"status": "incomplete", "refusal": True}},
    ]
    assert len(_of("TEXT_MESSAGE_START", events)) == 2, "nothing empty shows"


def test_calls_are_in_the_message_of_their_reply() -> None:
    events = _shown(
        _log(
            *text(0, "I look."),
            *call(1, "find", "{}"),
            *call(2, "find", "{}"),
            t.Usage("m"),
            *call(3, "find", "{}"),
            *call(4, "find", "{}"),
            t.Usage("m"),
        )
    )
    parents = [event["parentMessageId"] for event in _of("TOOL_CALL_START", events)]
    assert parents == [f"msg_{RUN}_0"] * 2 + [f"msg_{RUN}_3"] * 2


def test_a_call_that_was_cut_off_is_not_the_clients_to_run() -> None:
    events = _log(
        t.ItemStarted(0, "tool_call", name="show", call_id="c"),
        t.ArgumentsDelta(0, '{"a'),
        t.ItemCompleted(0, "incomplete"),
        *call(1, "show", "{}"),
    )
    reader = agui.read(stream.AgUiEncoder(RUN, stream.AgUiStreamOptions()).encode(events))
    assert reader.pending == [f"call_{RUN}_1"]
    (result,) = _of("TOOL_CALL_RESULT", _shown(events))
    assert result["metadata"] == {"tailrace": {"isError": True}}


def test_each_part_of_a_thought_is_a_message_in_one_span() -> None:
    events = _shown(
        _log(
            t.ItemStarted(0, "reasoning"),
            t.ReasoningSummaryDelta(0, "One."),
            t.ReasoningSummaryDelta(0, "Two.", 1),
            t.ReasoningDelta(0, "Raw."),
            t.ItemCompleted(0),
        )
    )
    assert [event["type"][10:] for event in events if event["type"].startswith("REASONING")] == [
        "START",
        *("MESSAGE_START", "MESSAGE_CONTENT", "MESSAGE_END") * 3,
        "END",
    ]


GOOD: Json = [
    {"op": "add", "path": "/a~1b", "value": None},
    {"op": "remove", "path": "/a", "value": 1},
    {"op": "replace", "path": "", "value": {}},
    {"op": "move", "from": "/a", "path": "/b"},
    {"op": "copy", "from": "/a", "path": "/b"},
    {"op": "test", "path": "/a", "value": 1},
]


@pytest.mark.parametrize(
    ("patch", "good"),
    [
        (GOOD, True),
        ([], True),
        ({}, False),
        (None, False),
        (["x"], False),
        ([{"op": "add", "path": "/a"}], False),
        ([{"op": "add", "path": "a", "value": 1}], False),
        ([{"op": "add", "path": "/~2", "value": 1}], False),
        ([{"op": "add", "path": 1, "value": 1}], False),
        ([{"op": "move", "path": "/a"}], False),
        ([{"op": "move", "path": "/a", "from": "b"}], False),
        ([{"op": [], "path": "/a"}], False),
        ([{"op": "grow", "path": "/a"}], False),
    ],
)
def test_only_a_json_patch_changes_the_state(patch: Json, good: bool) -> None:
    (event,) = _shown(_log(t.Custom(wire.STATE_DELTA, patch)))[2:-2]
    changed = {"type": "STATE_DELTA", "delta": patch}
    plain = {"type": "CUSTOM", "name": wire.STATE_DELTA, "value": patch}
    assert event == (changed if good else plain)


def test_an_agents_own_events() -> None:
    below = t.AgentStarted(SUB, "subagent", t.MAIN)
    events = _shown(
        _log(
            t.Custom("progress", None),
            t.Draft(below, NODE, SUB),
            t.Draft(t.Custom(wire.STATE_SNAPSHOT), NODE, SUB),
        )
    )
    assert _of("CUSTOM", events) == [{"type": "CUSTOM", "name": "progress", "value": None}]
    (state,) = _of("STATE_SNAPSHOT", events)
    assert state["snapshot"] is None
    assert state["subagentRunId"] == f"run_{RUN}:{SUB}"


@pytest.mark.parametrize(
    ("status", "kind", "more"),
    [
        ("completed", "SUBAGENT_FINISHED", {}),
        ("incomplete", "SUBAGENT_FINISHED", {"metadata": {"tailrace": {"status": "incomplete"}}}),
        ("failed", "SUBAGENT_ERROR", {"message": "The agent failed.", "code": "failed"}),
        (
            "cancelled",
            "SUBAGENT_ERROR",
            {"message": "The agent was cancelled.", "code": "cancelled"},
        ),
    ],
)
def test_how_a_subagent_ends(status: t.Ending, kind: str, more: Event) -> None:
    started = t.AgentStarted(SUB, "subagent", t.MAIN, 0)
    deeper = t.AgentStarted("deeper", "tool", SUB)
    events = _shown(
        _log(
            *call(0, "task", "{}", runs_on="server"),
            t.Draft(started, NODE, SUB),
            t.Draft(deeper, NODE, "deeper"),
            t.Draft(t.AgentCompleted(), NODE, "deeper"),
            t.Draft(t.AgentCompleted(status), NODE, SUB),
        )
    )
    first, second = _of("SUBAGENT_STARTED", events)
    assert first["parentToolCallId"] == f"call_{RUN}_0"
    assert second["parentSubagentRunId"] == first["subagentRunId"]
    (ended,) = [e for e in events if e["type"] == kind and e["subagentRunId"].endswith(SUB)]
    assert {k: v for k, v in ended.items() if k not in ("type", "subagentRunId")} == more


def test_steps_of_one_name_are_distinguished() -> None:
    again = t.NodeStarted("sonar", "helper")
    events = _shown(_log(t.Draft(again, "n2"), t.Draft(t.NodeCompleted(), "n2")))
    names = [event["stepName"] for event in _of("STEP_STARTED", events)]
    assert names == ["helper", "helper (n2)"]
    assert [event["stepName"] for event in _of("STEP_FINISHED", events)] == names[::-1]


def _paused(*asks: t.Payload, resumed: RunRequest | None = None) -> list[t.Event]:
    answers = [t.InputReceived(a.request_id) for a in asks if isinstance(a, t.InputRequested)]
    after: list[t.Payload | t.Draft] = [t.RunWaiting("answers"), *map(t.Draft, answers)]
    return _log(t.Usage("m", input=2), *asks, *after, t.RunResumed(resumed), t.Usage("m", input=3))


def test_a_pause_ends_a_run_and_the_answer_begins_the_next() -> None:
    schema = {"type": "object"}
    asks = (t.InputRequested("q1", "Which?", schema), t.InputRequested("q2", "", True))
    events = _paused(*asks, resumed=_asked("r2", state="new"))
    (*_, ended), (began, state, *_, last) = _shown(events, 0), _shown(events, 1)
    assert ended["outcome"]["interrupts"] == [
        {
            "id": f"ask_{RUN}_0",
            "reason": "input_required",
            "message": "Which?",
            "responseSchema": schema,
        },
        {"id": f"ask_{RUN}_1", "reason": "input_required"},
    ]
    assert (began["threadId"], began["runId"]) == ("t1", "r2")
    assert state["snapshot"] == "new"
    assert [end["usage"][0]["inputTokens"] for end in (ended, last)] == [2, 3], "each its own"
    assert _shown(events, 2) == []


def test_a_parent_that_has_ended_is_not_named_to_new_readers() -> None:
    events = _log(
        t.Draft(t.AgentStarted(SUB, "subagent", t.MAIN), NODE, SUB),
        t.Draft(t.AgentStarted("deeper", "subagent", SUB), NODE, "deeper"),
        t.Draft(t.AgentCompleted(), NODE, SUB),
        t.RunWaiting("answers"),
        t.RunResumed(),
    )
    (*_, before), (again,) = (_of("SUBAGENT_STARTED", _shown(events, turn)) for turn in (0, 1))
    assert before.pop("parentSubagentRunId") == f"run_{RUN}:{SUB}"
    assert before == again


def test_a_run_that_waits_for_nothing_it_can_name() -> None:
    ended = _shown(_paused(), 0)[-1]
    assert ended["outcome"]["interrupts"] == [{"id": f"wait_{RUN}_0", "reason": "answers"}]
    assert _shown(_paused(), 1)[0]["runId"] == f"run_{RUN}_2"


@pytest.mark.parametrize("version", ["1.0", None])
def test_clients_before_1_0_get_no_outcome_that_they_do_not_know(
    version: str | None,
) -> None:
    asked = _asked(protocolVersion=version)
    last = _shown(log([], asked, end=t.RunCancelled("a client")))[-1]
    assert last.get("outcome") == ({"type": "cancelled"} if version else None)
    assert last.get("code") == (None if version else "cancelled")
