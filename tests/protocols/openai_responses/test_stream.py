"""The Responses stream of any legal log: the order of the real API, and the result of the SDK's helper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from openai._models import construct_type
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from tailrace.events import types as t
from tailrace.events.items import ImagePart, Message, ProviderItem
from tailrace.protocols.openai_responses import stream
from tests.support import order, provider_items, strict
from tests.support.legal_logs import legal_logs
from tests.support.logs import NODE, RUN, call, log
from tests.support.scenarios import SCENARIOS


def encode(events: Sequence[t.Event]) -> list[bytes]:
    return stream.ResponsesEncoder(RUN, stream.ResponsesStreamOptions()).encode(events)


@pytest.mark.req("R118")
@pytest.mark.req("R119")
@pytest.mark.req("R120")
@pytest.mark.req("R121")
@given(events=legal_logs())
def test_any_log_keeps_the_order(events: Sequence[t.Event]) -> None:
    order.check(encode(events), events)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_keeps_the_order(name: str) -> None:
    order.check(encode(SCENARIOS[name]()), SCENARIOS[name]())


@given(events=legal_logs())
def test_the_sdks_helper_takes_any_log(events: Sequence[t.Event]) -> None:
    """The helper raises on changed ids, repeated indexes and unfinished items; its snapshot equals our
    answer."""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    seen: list[Any] = []
    for data in strict.data_of(encode(events)):
        value = msgspec.json.decode(data)
        if value["type"] != "error":  # the SDK's reader raises it as an exception
            event: Any = construct_type(type_=ResponseStreamEvent, value=value)
            seen += state.handle_event(event)
    final = seen[-1].response
    snapshot = state._ResponseStreamState__current_snapshot
    assert snapshot.output_text == final.output_text


@pytest.mark.req("R14")
@pytest.mark.req("R15")
@given(events=legal_logs())
def test_only_deep_agent_nodes_make_a_difference(events: Sequence[t.Event]) -> None:
    """The stream is a function of the events of `deep_agent` nodes and of the run as a whole."""
    shown = {t.RUN_NODE} | {
        event.node
        for event in events
        if isinstance(event.payload, t.NodeStarted) and event.payload.node_type == "deep_agent"
    }
    assert encode([event for event in events if event.node in shown]) == encode(events)


HOSTED = {
    "web_search_call": ["in_progress", "searching", "completed"],
    "file_search_call": ["in_progress", "searching", "completed"],
    "code_interpreter_call": [
        "in_progress",
        "code_interpreter_call_code.delta",
        "code_interpreter_call_code.done",
        "interpreting",
        "completed",
    ],
    "image_generation_call": ["in_progress", "generating", "completed"],
    "mcp_list_tools": ["in_progress", "completed"],
    "mcp_call": [
        "in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "completed",
    ],
    "mcp_approval_request": [],
    "compaction": [],
}


@pytest.mark.parametrize("started", provider_items.STARTED, ids=lambda item: item["type"])
def test_a_providers_item_has_the_events_of_its_type(started: dict[str, Any]) -> None:
    kind = started["type"]
    whole = ProviderItem(dialect="responses", data=provider_items.finished(started))
    body: list[t.Payload] = [
        t.ItemStarted(0, "provider", dialect="responses", data=started),
        t.ItemCompleted(0, content=whole),
        t.Usage("m"),
    ]
    events = order.check(encode(log(body, end=t.RunCompleted())))
    names = [event["type"].removeprefix(f"response.{kind}.") for event in events[2:-1]]
    assert [name.removeprefix("response.") for name in names] == [
        "output_item.added",
        *HOSTED[kind],
        "output_item.done",
    ]
    shown = events[-1]["response"]["output"][0]
    assert {**shown, "id": whole.data["id"]} == whole.data
    assert shown["id"].endswith(f"_{RUN}_0")


@pytest.mark.parametrize("started", provider_items.STARTED, ids=lambda item: item["type"])
def test_a_providers_item_that_was_cut_off_is_no_success(started: dict[str, Any]) -> None:
    body: list[t.Payload] = [t.ItemStarted(0, "provider", dialect="responses", data=started)]
    frames = encode(log(body, end=t.RunFailed("server_error", "It broke.")))
    strict.responses(frames)
    events = order.check(frames)
    assert not [event for event in events if event["type"].endswith("_call.completed")]
    item = events[-1]["response"]["output"][0]
    assert item.get("status", "failed") == "failed"


def test_an_image_is_an_image_generation_call() -> None:
    picture = Message(role="assistant", content=(ImagePart("data:image/png;base64,QUJD"),))
    body: list[t.Payload] = [
        t.ItemStarted(0, "image"),
        t.ImagePartial(0, "QQ=="),
        t.ImagePartial(0, "QUI="),
        t.ItemCompleted(0, content=picture),
    ]
    frames = encode(log(body, end=t.RunCompleted()))
    strict.responses(frames)
    events = order.check(frames)
    partials = [event for event in events if event["type"].endswith(".partial_image")]
    assert [(p["partial_image_index"], p["partial_image_b64"]) for p in partials] == [
        (0, "QQ=="),
        (1, "QUI="),
    ]
    assert events[-1]["response"]["output"] == [
        {
            "id": f"ig_{RUN}_0",
            "type": "image_generation_call",
            "status": "completed",
            "result": "QUJD",
        }
    ]


@pytest.mark.req("R127")
@pytest.mark.req("R128")
def test_a_tool_that_runs_here_is_an_mcp_call() -> None:
    body = [
        *call(0, "find", '{"q":', "1}", runs_on="mcp"),
        t.Usage("m"),
        t.ToolStarted(0),
        t.ToolProgress(0, "looking"),
        t.ToolCompleted(0, "found"),
    ]
    events = order.check(encode(log(body, end=t.RunCompleted())))
    assert [event["type"].removeprefix("response.") for event in events[2:-1]] == [
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
    ]
    item = events[-1]["response"]["output"][0]
    assert (item["type"], item["arguments"], item["output"]) == ("mcp_call", '{"q":1}', "found")


def test_parallel_subagents_are_separate_items() -> None:
    def by(agent: str, payload: t.Payload) -> t.Draft:
        return t.Draft(payload, NODE, agent)

    body: list[t.Payload | t.Draft] = [
        by("a#1", t.AgentStarted("a", "subagent", t.MAIN)),
        by("b#1", t.AgentStarted("b", "subagent", t.MAIN)),
        by("a#1", t.ItemStarted(0, "message")),
        by("b#1", t.ItemStarted(1, "message")),
        by("a#1", t.TextDelta(0, "one ")),
        by("b#1", t.TextDelta(1, "uno ")),
        by("a#1", t.TextDelta(0, "two")),
        by("b#1", t.TextDelta(1, "due")),
        by("b#1", t.ItemCompleted(1)),
        by("a#1", t.ItemCompleted(0)),
    ]
    events = log(body, end=t.RunCompleted())
    attributed = stream.ResponsesEncoder(RUN, stream.ResponsesStreamOptions(key="x_alien"))
    output = order.check(attributed.encode(events))[-1]["response"]["output"]
    assert [item["content"][0]["text"] for item in output] == ["one two", "uno due"]
    assert [item["id"] for item in output] == ["agent:a#1::msg_0", "agent:b#1::msg_1"]
    plain = order.check(encode(events))[-1]["response"]["output"]
    assert plain == [], "a client that knows nothing of agents gets the main agent's words only"


@pytest.mark.parametrize(
    ("end", "status", "error", "details"),
    [
        (t.RunCompleted(), "completed", None, None),
        (t.RunIncomplete("content_filter"), "incomplete", None, {"reason": "content_filter"}),
        (
            t.RunIncomplete("max_turns"),
            "incomplete",
            None,
            {"reason": "max_output_tokens", "limit": "max_turns"},
        ),
        (t.RunCancelled("a client"), "cancelled", None, None),
        (
            t.RunFailed("our_own", "It broke."),
            "failed",
            {"code": "server_error", "message": "It broke.", "type": "server_error"},
            None,
        ),
    ],
)
def test_the_end_of_a_run_has_the_sdks_own_reason(
    end: t.RunEnd, status: str, error: Any, details: Any
) -> None:
    frames = encode(log([], end=end))
    strict.responses(frames)
    response = order.check(frames)[-1]["response"]
    assert (response["status"], response["error"]) == (status, error)
    assert response["incomplete_details"] == details
    assert (response["completed_at"] is None) == (status != "completed")


def test_reasoning_of_two_kinds_in_turn_is_shown_whole() -> None:
    said: list[t.Payload] = [
        t.ItemStarted(0, "reasoning"),
        t.ReasoningSummaryDelta(0, "First, "),
        t.ReasoningDelta(0, "hm"),
        t.ReasoningSummaryDelta(0, "then"),
        t.ItemCompleted(0),
        t.Usage("m"),
    ]
    frames = stream.ResponsesEncoder(RUN, stream.ResponsesStreamOptions()).encode(
        log(said, end=t.RunCompleted())
    )
    strict.responses(frames)
    item = order.check(frames)[-1]["response"]["output"][0]
    assert [part["text"] for part in item["summary"]] == ["First, ", "then"]
    assert [part["text"] for part in item["content"]] == ["hm"]
