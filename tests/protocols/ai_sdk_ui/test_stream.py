"""The content of a UI message for a run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tailrace.events import types as t
from tailrace.events.items import (
    AudioPart,
    ImagePart,
    Message,
    TextPart,
    ToolCall,
    ToolOutput,
    text_of,
)
from tailrace.protocols.ai_sdk_ui import request as ui_request
from tailrace.protocols.ai_sdk_ui import stream, wire
from tests.support import ui_chunks
from tests.support.logs import NODE, RUN, call, log, request, text, user
from tests.support.scenarios import SCENARIOS, USAGE
from tests.support.team_scenarios import TEAM_SCENARIOS

Chunk = dict[str, Any]


def _frames(events: list[t.Event], turn: int | None = 0) -> list[bytes]:
    return stream.UiMessageEncoder(RUN, stream.UiStreamOptions(turn)).encode(events)


def _shown(events: list[t.Event], turn: int | None = 0) -> list[Chunk]:
    """The chunks without the positions."""
    found = ui_chunks.chunks(_frames(events, turn))
    return [chunk for chunk in found if chunk["type"] != "data-streamProgress"]


def _of(events: list[t.Event], kind: str) -> list[Chunk]:
    return [chunk for chunk in _shown(events) if chunk["type"] == kind]


@pytest.mark.req("R71")
@pytest.mark.req("R64")
@pytest.mark.req("R72")
def test_the_clients_names_come_first_and_are_its_own() -> None:
    asked = request(session="chat-1", client_names="msg-of-the-client")
    shown = _shown(log([*text(0, "Hi"), USAGE], asked, end=t.RunCompleted()))
    assert shown[0] == {"type": "start", "messageId": "msg-of-the-client"}
    assert shown[1] == {"type": "data-conversationId", "data": "chat-1", "transient": True}
    assert len([c for c in shown if c["type"] == "data-conversationId"]) == 1


@pytest.mark.req("R78")
@pytest.mark.req("R79")
def test_every_chunk_has_its_position_after_it_and_the_last_one_before_it() -> None:
    frames = _frames(SCENARIOS["plain"]())
    told = [c for c in ui_chunks.chunks(frames) if c["type"] == "data-streamProgress"]
    assert [each["data"]["sequenceNumber"] for each in told] == list(range(len(frames) - 2))
    assert [each["data"]["terminal"] for each in told] == [False] * (len(told) - 1) + [True]
    assert {each["data"]["responseId"] for each in told} == {f"resp_{RUN}"}
    assert all(each["transient"] for each in told)
    assert frames[-1] == b"data: [DONE]\n\n"


@pytest.mark.req("R65")
def test_text_comes_unchanged() -> None:
    deltas = [c["delta"] for c in _of(SCENARIOS["unicode"](), "text-delta")]
    pieces = [
        event.payload.text
        for event in SCENARIOS["unicode"]()
        if isinstance(event.payload, t.TextDelta)
    ]
    assert deltas == pieces


@pytest.mark.req("R73")
@pytest.mark.req("R75")
@pytest.mark.req("R76")
@pytest.mark.req("R86")
@pytest.mark.parametrize("name", ["team", "team_nested", "subagent_fails", "cancelled_below"])
def test_the_speaker_follows_from_the_preceding_chunks(name: str) -> None:
    """The agent of every part, derived from the switches alone, is the agent that the log names."""
    events = TEAM_SCENARIOS[name]()
    agents = {
        event.payload.item: event.agent
        for event in events
        if isinstance(event.payload, t.ItemStarted)
    }
    speaker = t.MAIN
    found: dict[int, str] = {}
    for chunk in _shown(events):
        if chunk["type"] == "data-subagent":
            assert set(chunk["data"]) >= {"id", "name", "kind", "parentId"}
            assert chunk["data"]["dispatchedByToolCallId"].startswith("call_")
            speaker = chunk["data"]["id"]
        elif chunk["type"] == "data-subagent-end":
            assert chunk["data"] is None
            speaker = t.MAIN
        elif chunk["type"] in ("text-start", "tool-input-start"):
            id = chunk.get("id", chunk.get("toolCallId"))
            found[int(str(id).rpartition("_")[2])] = speaker
    assert found == agents
    assert speaker == t.MAIN, "no panel stays open"


@pytest.mark.req("R77")
def test_each_call_is_shown_once() -> None:
    told = [chunk["data"] for chunk in _of(SCENARIOS["parallel_tools"](), "data-toolCall")]
    assert told == [
        {"id": f"call_{RUN}_1", "name": "find", "args": {"q": "hat"}},
        {"id": f"call_{RUN}_2", "name": "price", "args": {}},
    ]


def test_what_runs_here_is_not_the_clients_to_run() -> None:
    parts = ui_chunks.read(_frames(TEAM_SCENARIOS["client_tool_beside_ours"]())).parts
    flags = {part["name"]: part["flags"] for part in parts if part["type"] == "tool"}
    assert flags == {"show": {}, "find": {"dynamic": True, "providerExecuted": True}}
    states = {part["name"]: part["state"] for part in parts if part["type"] == "tool"}
    assert states == {"show": "input-available", "find": "output-available"}


def test_arguments_that_are_not_json_are_unchanged() -> None:
    events = log([*call(0, "find", '{"a":'), USAGE], end=t.RunCompleted())
    assert _of(events, "tool-input-available")[0]["input"] == '{"a":'
    empty = log([*call(0, "find"), USAGE], end=t.RunCompleted())
    assert _of(empty, "tool-input-available")[0]["input"] == {}
    huge = log([*call(0, "find", "9" * 400), USAGE], end=t.RunCompleted())
    assert _of(huge, "tool-input-available")


def test_a_call_that_was_cut_off_ends_as_an_error_and_never_as_a_call() -> None:
    cut: list[t.Payload] = [
        t.ItemStarted(0, "tool_call", name="show", call_id="c"),
        t.ArgumentsDelta(0, '{"a":'),
    ]
    events = log(cut, end=t.RunFailed("server_error", "died"))
    kinds = [chunk["type"] for chunk in _shown(events)]
    assert "tool-input-available" not in kinds
    assert "data-toolCall" not in kinds
    assert _of(events, "tool-output-error")[0]["toolCallId"] == f"call_{RUN}_0"
    assert kinds[-1] == "error"


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("plain", "finish"),
        ("incomplete", "finish"),
        ("failure_before", "error"),
        ("failure_inside", "error"),
        ("cancelled", "abort"),
    ],
)
def test_how_a_stream_ends(name: str, last: str) -> None:
    assert _shown(SCENARIOS[name]())[-1]["type"] == last


@pytest.mark.parametrize(
    ("name", "reason"),
    [("plain", "stop"), ("incomplete", "length"), ("client_tools_first", "tool-calls")],
)
def test_the_metadata_have_the_reason_of_a_replys_end(name: str, reason: str) -> None:
    told = _shown(SCENARIOS[name]())[-1]["messageMetadata"]["tailrace"]
    assert told["finishReason"] == reason
    assert told["runId"] == f"run_{RUN}"
    assert told["usage"]["totalTokens"] > 0


def test_approvals_are_requested_in_the_form_that_the_client_knows() -> None:
    def pay(**fields: object) -> list[t.Event]:
        started = t.ItemStarted(0, "tool_call", name="pay", runs_on="server", waits_for="approval")
        asked: list[t.Payload] = [
            started,
            t.ItemCompleted(0),
            USAGE,
            t.ApprovalRequested(0, "Pay?"),
            t.RunWaiting("answers"),
        ]
        return log(asked, request(**fields))  # type: ignore[arg-type]

    plain = pay()
    (told,) = _of(plain, "data-approval")
    assert told["data"]["message"] == "Pay?"
    assert told["data"]["id"] == f"apr_{RUN}_0"
    assert not _of(plain, "tool-approval-request")
    knowing = pay(include=(wire.APPROVALS,))
    (asked,) = _of(knowing, "tool-approval-request")
    assert asked["approvalId"] == told["data"]["id"]
    assert asked["toolCallId"] == f"call_{RUN}_0"
    assert not _of(knowing, "data-approval")
    ui_chunks.strict(_frames(knowing), ("6.0.168", "6.0.326", "7.0.0", "7.0.173"))
    with pytest.raises(AssertionError, match="unknown type"):
        ui_chunks.strict(_frames(knowing), ("5.0.0",))


def test_what_has_a_form_shows_from_any_node() -> None:
    picture = Message(role="assistant", content=(ImagePart("http://a/b.png"),))
    speech = Message(role="assistant", content=(AudioPart("QUJD", "mp3"),))
    other: list[t.Payload | t.Draft] = [
        t.Draft(t.NodeStarted("sonar", "Ping"), "n2"),
        t.Draft(t.ItemStarted(0, "message"), "n2"),
        t.Draft(t.TextDelta(0, "blip"), "n2"),
        t.Draft(t.ItemCompleted(0), "n2"),
        t.Draft(t.ItemStarted(1, "image"), "n2"),
        t.Draft(t.ItemCompleted(1, content=picture), "n2"),
        t.Draft(t.ItemStarted(2, "audio"), "n2"),
        t.Draft(t.ItemCompleted(2, content=speech), "n2"),
        t.Draft(t.Custom("echo", {"depth": 40}), "n2"),
        t.Draft(t.Custom("conversationId", "forged"), "n2"),
    ]
    events = log([*other, *text(3, "Hello."), USAGE], end=t.RunCompleted())
    files = [(chunk["mediaType"], chunk["url"]) for chunk in _of(events, "file")]
    assert files == [
        ("image/*", "http://a/b.png"),
        ("audio/mpeg", "data:audio/mpeg;base64,QUJD"),
    ]
    assert [chunk["data"] for chunk in _of(events, "data-echo")] == [{"depth": 40}]
    assert len(_of(events, "data-conversationId")) == 1
    body = b"".join(_frames(events))
    assert b"blip" not in body
    assert b"Hello." in body


def test_a_citation_leads_to_an_address_or_names_a_document() -> None:
    said: list[t.Payload] = [
        t.ItemStarted(0, "message"),
        t.TextDelta(0, "A"),
        t.AnnotationAdded(0, {"type": "file_citation", "file_id": ""}),
        t.AnnotationAdded(0, {"type": "url_citation", "url": "http://a/", "title": 7}),
        t.AnnotationAdded(0, {"type": "file_citation", "file_id": "", "filename": "notes.md"}),
        t.ItemCompleted(0),
    ]
    told = log([*said, USAGE], end=t.RunCompleted())
    (page,) = _of(told, "source-url")
    assert page == {"type": "source-url", "sourceId": f"src_{RUN}_0_0", "url": "http://a/"}
    (document,) = _of(told, "source-document")
    named = {"mediaType": "text/plain", "title": "notes.md", "filename": "notes.md"}
    assert document == {"type": "source-document", "sourceId": f"src_{RUN}_0_1", **named}


def test_a_question_that_is_not_a_call_is_shown_too() -> None:
    asked = [t.Draft(t.InputRequested("q1", "Which?", {"type": "string"}))]
    events = log([*asked, t.RunWaiting("answers")])
    (told,) = _of(events, "data-question")
    assert told["data"] == {"id": "q1", "message": "Which?", "schema": {"type": "string"}}


def test_a_watched_run_does_not_end_at_its_pause() -> None:
    events = TEAM_SCENARIOS["approval_granted"]()
    kinds = [chunk["type"] for chunk in _shown(events, None)]
    assert kinds.count("finish") == 1
    assert kinds[-1] == "finish"
    reader = ui_chunks.read(_frames(events, None))
    assert [part["state"] for part in reader.parts if part["type"] == "tool"] == [
        "output-available"
    ]


def test_a_replay_begins_with_what_the_message_held_before() -> None:
    """The positions are those of a reply without a replay."""
    told = (
        user("Oslo?"),
        Message(role="assistant", content=(TextPart("I look."),)),
        ToolCall(call_id="ours", name="find", arguments="{}"),
        ToolOutput(call_id="ours", output=(TextPart("no"),), is_error=True),
        ToolCall(call_id="theirs", name="show", arguments='{"a":1}'),
    )
    output = (ToolOutput(call_id="theirs", output=(TextPart('{"sky":"snow"}'),)),)
    asked = request(history=told, input=output, client_names="m1")
    events = log([*text(0, "Snow."), USAGE], asked, end=t.RunCompleted())
    replay = stream.UiMessageEncoder(RUN, stream.UiStreamOptions(0, past=True)).encode(events)
    plain = _frames(events)
    assert replay[1:] == plain[1:]
    assert replay[0].startswith(plain[0].split(b"\n\n")[0])
    ui_chunks.strict(replay)
    reader = ui_chunks.read(replay)
    calls = [(p["name"], p["flags"] != {}, p["output"]) for p in reader.parts if "name" in p]
    assert calls == [("find", True, "no"), ("show", False, {"sky": "snow"})]
    assert [part["text"] for part in reader.parts if part["type"] == "text"] == ["I look.", "Snow."]
    fresh = SCENARIOS["plain"]()
    assert stream.UiMessageEncoder(RUN, stream.UiStreamOptions(0, past=True)).encode(
        fresh
    ) == _frames(fresh)


def test_a_step_does_not_end_while_a_text_is_open() -> None:
    """Another agent ends its reply and begins the next one while the first agent still replies."""

    def at(agent: str, payload: t.Payload) -> t.Draft:
        return t.Draft(payload, NODE, agent)

    happens = [
        at("a", t.AgentStarted("a", "subagent", t.MAIN)),
        at("b", t.AgentStarted("b", "subagent", t.MAIN)),
        *(at("a", payload) for payload in (t.ItemStarted(0, "message"), t.TextDelta(0, "A"))),
        *(at("b", payload) for payload in (*text(1, "B"), USAGE, *text(2, "B"), USAGE)),
        *(at("a", payload) for payload in (t.TextDelta(0, "A"), t.ItemCompleted(0), USAGE)),
        *text(3, "Done."),
        USAGE,
    ]
    frames = _frames(log(happens, end=t.RunCompleted()))
    reader = ui_chunks.read(frames)
    steps = [part for part in reader.parts if part["type"] == "step-start"]
    assert len(steps) == 2, "the second one begins when nothing is open"
    said = [(p["agent"], p["text"]) for p in reader.parts if p["type"] == "text"]
    assert said == [("a", "AA"), ("b", "B"), ("b", "B"), (None, "Done.")]


@pytest.mark.parametrize("name", ["approval_granted", "approval_denied", "question_below"])
def test_a_turn_continues_where_the_previous_one_stopped(name: str) -> None:
    """The turn uses the same message and the next position, and answers calls of the previous turn."""
    events = TEAM_SCENARIOS[name]()
    before, after = _frames(events, 0), _frames(events, 1)
    first = stream.turn_begins(RUN, events, 1)
    assert before[:-3] == after[: len(before) - 3]
    assert first == len(before) - 3
    reader = ui_chunks.read(before)
    reader.ended = ""
    ui_chunks.read(after[first:], reader, first)
    assert reader.parts == ui_chunks.read(after).parts, "a replay shows the same"
    states = {part["state"] for part in reader.parts if part["type"] == "tool"}
    assert states <= {"output-available", "output-error"}


def test_an_abandoned_part_is_marked_and_ignored_when_a_client_returns_it() -> None:
    """A chunk cannot be removed, so the client's message holds both parts: the server distinguishes them."""
    ends = _of(SCENARIOS["two_attempts_apart"](), "text-end")
    marked = {"tailrace": {"status": "abandoned"}}
    assert [end.get("providerMetadata") for end in ends] == [marked, None]
    parts = [
        {"type": "text", "text": "The answer ", "state": "done", "providerMetadata": marked},
        {"type": "text", "text": "Four.", "state": "done"},
    ]
    past = [
        {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "2 + 2?"}]},
        {"id": "a1", "role": "assistant", "parts": parts},
        {"id": "u2", "role": "user", "parts": [{"type": "text", "text": "Why?"}]},
    ]
    body = msgspec.json.encode({"id": "c", "messages": past, "trigger": "submit-message"})
    asked = ui_request.decode(body).request
    said = [text_of(item.content) for item in asked.history if isinstance(item, Message)]
    assert said == ["2 + 2?", "Four."]
