"""The content of a session's lines, scenario by scenario."""

from __future__ import annotations

from typing import TypeVar, get_args

import pytest

import tailrace
from tailrace.events import types as t
from tailrace.protocols.session_lines import wire_events, wire_messages
from tailrace.protocols.session_lines.stream import SessionEncoder, SessionStreamOptions
from tests.support import lines
from tests.support.logs import RUN, log
from tests.support.scenarios import SCENARIOS
from tests.support.team_scenarios import TEAM_SCENARIOS

Kind = TypeVar("Kind", bound=wire_events.Line)
ALL = {**SCENARIOS, **TEAM_SCENARIOS}


def _told(name: str) -> list[wire_events.SessionEvent]:
    return lines.check(SessionEncoder(RUN, SessionStreamOptions()).encode(ALL[name]()))


def _only(events: list[wire_events.SessionEvent], kind: type[Kind]) -> list[Kind]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.req("R150")
@pytest.mark.req("R151")
@pytest.mark.req("R152")
def test_a_reply_streams_and_its_document_is_complete() -> None:
    events = _told("plain")
    (user, reply) = _only(events, wire_events.MessageEnd)
    assert isinstance(user.message, wire_messages.UserMessage)
    assert isinstance(reply.message, wire_messages.AssistantMessage)
    (said,) = reply.message.content
    assert isinstance(said, wire_messages.TextContent)
    assert "".join(update.delta for update in _only(events, wire_events.MessageUpdate)) == said.text
    kinds = [type(update.event) for update in _only(events, wire_events.MessageUpdate)]
    assert kinds == [
        wire_messages.TextStart,
        *[wire_messages.TextDeltaPiece] * (len(kinds) - 2),
        wire_messages.TextEnd,
    ]


def test_thoughts_are_no_part_of_the_answer() -> None:
    events = _told("reasoning")
    thought = [
        update.event.delta
        for update in _only(events, wire_events.MessageUpdate)
        if isinstance(update.event, wire_messages.ThinkingDelta)
    ]
    contents = [
        each for turn in _only(events, wire_events.TurnComplete) for each in turn.message.content
    ]
    whole = [each.thinking for each in contents if isinstance(each, wire_messages.ThinkingContent)]
    assert "".join(thought) == "".join(whole) != ""


@pytest.mark.req("R153")
@pytest.mark.req("R154")
def test_tools_begin_and_end() -> None:
    events = _told("parallel_tools")
    begun = {event.tool_call_id: event for event in _only(events, wire_events.ToolBefore)}
    ended = {event.tool_call_id: event for event in _only(events, wire_events.ToolAfter)}
    assert len(begun) > 1
    assert begun.keys() == ended.keys()
    assert all(event.tool_name for event in begun.values())
    assert all(event.result.content for event in ended.values())
    results = [
        result for turn in _only(events, wire_events.TurnComplete) for result in turn.tool_results
    ]
    assert {result.tool_call_id for result in results} == set(begun)


@pytest.mark.req("R155")
@pytest.mark.req("R156")
def test_a_compacted_history_is_reported() -> None:
    events = _told("compacted")
    begun, ended = (
        _only(events, wire_events.ContextCompactionStart),
        _only(events, wire_events.ContextCompactionEnd),
    )
    assert len(begun) == len(ended) >= 1
    (first, *_) = _only(events, wire_events.Compaction)
    assert first.messages_after < first.messages_before


@pytest.mark.req("R157")
@pytest.mark.req("R158")
@pytest.mark.parametrize("name", ["plain", "team", "cancelled", "limit_reached"])
def test_the_end_has_the_messages_and_the_usage(name: str) -> None:
    events = _told(name)
    (end,) = _only(events, wire_events.SessionEnd)
    (usage,) = _only(events, wire_events.SessionContextUsage)
    spent = [e.payload for e in ALL[name]() if isinstance(e.payload, t.Usage)]
    assert end.usage.total_tokens == sum(each.input + each.output for each in spent)
    ended = [event.message for event in _only(events, wire_events.MessageEnd)]
    assert [m for m in end.messages if not isinstance(m, wire_messages.ToolResultMessage)] == ended
    if spent:
        assert (usage.input_tokens, usage.output_tokens) != (0, 0)


def test_how_full_the_context_is() -> None:
    said: list[t.Payload] = [t.ContextUsage(500, 1000), t.Usage("m", input=250, output=5)]
    events = lines.check(
        SessionEncoder(RUN, SessionStreamOptions()).encode(log(said, end=t.RunCompleted()))
    )
    assert events[-1] == wire_events.SessionContextUsage(
        input_tokens=250, output_tokens=5, budget_used_pct=25
    )


def test_the_skills_of_an_agent_are_listed() -> None:
    said: list[t.Payload] = [
        t.Custom("skill_start", {"skillName": "sums", "task": "add"}),
        t.Custom("skill_end", {"skillName": "sums"}),
        t.Custom("skill_start", {"of": "another kind"}),
        t.Custom("note", {"skillName": "sums"}),
    ]
    events = lines.check(
        SessionEncoder(RUN, SessionStreamOptions()).encode(log(said, end=t.RunCompleted()))
    )
    assert _only(events, wire_events.SkillStart) == [
        wire_events.SkillStart(skill_name="sums", task="add")
    ]
    assert _only(events, wire_events.SkillEnd) == [wire_events.SkillEnd(skill_name="sums")]


def test_a_crash_ends_a_message_and_begins_another() -> None:
    events = _told("two_attempts")
    first, second = (event.message for event in _only(events, wire_events.TurnComplete))
    assert (first.stop_reason, second.stop_reason) == ("aborted", "stop")


@pytest.mark.req("R172")
def test_the_union_is_published_with_its_host_part() -> None:
    every, host = set(get_args(tailrace.SessionEvent)), set(get_args(tailrace.HostEvent))
    assert host < every
    assert {
        wire_events.MessageUpdate,
        wire_events.SkillStart,
        wire_events.SessionContextUsage,
    } <= every
