"""Promises about the content of single streams, read from the frames of hand-written logs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tailrace.events import types as t
from tailrace.protocols.openai_chat import stream as chat
from tailrace.protocols.openai_responses import stream as responses
from tests.support import strict
from tests.support.logs import RUN, log, text
from tests.support.scenarios import SCENARIOS, USAGE
from tests.support.team_scenarios import TEAM_SCENARIOS


def _responses(name: str) -> list[dict[str, Any]]:
    frames = responses.ResponsesEncoder(RUN, responses.ResponsesStreamOptions()).encode(
        SCENARIOS[name]()
    )
    return [msgspec.json.decode(data) for data in strict.data_of(frames)]


def _chat(name: str) -> list[dict[str, Any]]:
    frames = chat.ChatEncoder(RUN, chat.ChatStreamOptions()).encode(SCENARIOS[name]())
    return [msgspec.json.decode(data) for data in strict.data_of(frames)]


@pytest.mark.req("R125")
@pytest.mark.req("R10")
def test_reasoning_has_its_own_deltas() -> None:
    events = _responses("reasoning")
    raw = [e["delta"] for e in events if e["type"] == "response.reasoning_text.delta"]
    summary = [e["delta"] for e in events if e["type"] == "response.reasoning_summary_text.delta"]
    assert "".join(raw) == "2 and 2 is 4."
    assert "".join(summary) == "**Adding** up.Checking."


@pytest.mark.req("R190")
def test_interleaved_items_are_distinguished_by_index_and_id() -> None:
    made: dict[tuple[int, str], str] = {}
    for event in _responses("parallel_tools"):
        if event["type"] == "response.mcp_call_arguments.delta":
            key = (event["output_index"], event["item_id"])
            made[key] = made.get(key, "") + event["delta"]
    assert list(made.values()) == ['{"q":"hat"}', "{}"]
    assert len({index for index, _ in made}) == len({id for _, id in made}) == 2


@pytest.mark.req("R41")
@pytest.mark.req("R43")
@pytest.mark.parametrize("name", SCENARIOS)
def test_fields_beyond_the_specification_can_be_left_out(name: str) -> None:
    """A client that drops every field the SDK's types do not name still gets the whole answer."""
    known = {"role", "content", "refusal", "tool_calls"}
    lean, text_ = [], ""
    for chunk in _chat(name):
        for choice in chunk.get("choices", ()):
            choice["delta"] = {k: v for k, v in choice["delta"].items() if k in known}
            text_ += choice["delta"].get("content") or ""
        lean.append(b"data: " + msgspec.json.encode(chunk))
    strict.chat(lean)
    done = [e["item"] for e in _responses(name) if e["type"] == "response.output_item.done"]
    said = [p.get("text", "") for i in done if i["type"] == "message" for p in i["content"]]
    # sorted: parallel agents alternate on Chat, and are separate on Responses
    assert sorted(text_.replace("\n\n", "")) == sorted("".join(said).replace("\n\n", ""))


@pytest.mark.req("R174")
def test_each_surface_keeps_its_own_event_format() -> None:
    for event in _responses("plain"):
        assert event["type"].startswith("response.")
    assert {chunk["object"] for chunk in _chat("plain")} == {"chat.completion.chunk"}


@pytest.mark.req("R15")
def test_other_nodes_never_show_on_the_openai_surfaces() -> None:
    other: list[t.Payload | t.Draft] = [
        t.Draft(t.NodeStarted("sonar", "Ping"), "n2"),
        t.Draft(t.ItemStarted(0, "message"), "n2"),
        t.Draft(t.TextDelta(0, "blip"), "n2"),
        t.Draft(t.Custom("sonar.echo", {"depth": 40}), "n2"),
        t.Draft(t.ItemCompleted(0), "n2"),
        *text(1, "Hello."),
        USAGE,
    ]
    events = log(other, end=t.RunCompleted())
    options = chat.ChatStreamOptions(include_usage=True)
    for frames in (
        responses.ResponsesEncoder(RUN, responses.ResponsesStreamOptions()).encode(events),
        chat.ChatEncoder(RUN, options).encode(events),
    ):
        body = b"".join(frames)
        assert b"Hello." in body
        assert b"blip" not in body
        assert b"sonar" not in body


@pytest.mark.req("R18")
@pytest.mark.req("R81")
@pytest.mark.req("R82")
@pytest.mark.req("R83")
@pytest.mark.req("R84")
@pytest.mark.parametrize("name", ["team", "team_nested", "subagent_fails"])
def test_dispatches_and_speakers_are_equal_on_chat_and_responses(name: str) -> None:
    events = TEAM_SCENARIOS[name]()
    frames = responses.ResponsesEncoder(
        RUN, responses.ResponsesStreamOptions(key="x_alien")
    ).encode(events)
    told = [msgspec.json.decode(data) for data in strict.data_of(frames)]
    registry = msgspec.json.decode(told[0]["response"]["metadata"]["x_alien_agent_registry"])
    assert told[0]["type"] == "response.created"
    assert told[0]["response"]["metadata"]["x_alien_root_agent_id"] == "MAIN"
    names = {entry["id"]: entry["name"] for entry in registry}
    items = told[-1]["response"]["output"]
    calls = [item for item in items if item["type"] == "mcp_call"]
    chunks = chat.ChatEncoder(RUN, chat.ChatStreamOptions(key="x_alien")).encode(events)
    about = [msgspec.json.decode(data).get("x_alien") for data in strict.data_of(chunks)]
    results = [each for each in about if each and "tool_result" in each]
    ours = sorted((call["name"], call["output"], call["id"].split("::")[0]) for call in calls)
    theirs = sorted(
        (
            each["tool_call"]["name"],
            each["tool_result"]["output"],
            f"agent:{each['agent_id']}",
        )
        for each in results
    )
    assert ours == theirs
    assert "task" in {call[0] for call in ours}
    for each in about:
        if each and "#" not in each["agent_id"]:
            assert names[each["agent_id"]] == each["agent_name"]


@pytest.mark.req("R127")
@pytest.mark.req("R128")
def test_a_tool_of_ours_has_its_mcp_events() -> None:
    frames = responses.ResponsesEncoder(
        RUN, responses.ResponsesStreamOptions(key="x_alien")
    ).encode(TEAM_SCENARIOS["team"]())
    kinds = [msgspec.json.decode(data)["type"] for data in strict.data_of(frames)]
    finished = kinds.count("response.mcp_call.completed")
    assert finished == 4
    assert kinds.count("response.mcp_call_arguments.done") == finished
    assert kinds.count("response.mcp_call_arguments.delta") >= finished
