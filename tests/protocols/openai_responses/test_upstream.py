"""A Responses server's reply is the same in any of the forms in which servers send it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.protocols.openai_responses import reply, stream
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tailrace.runtimes.node_lifecycle import ModelReply, ending, opening
from tests.support import order, responses_replies, strict
from tests.support.logs import RUN, TS, request
from tests.support.responses_replies import ODDITIES, told, wire

INCLUDE = ("reasoning.encrypted_content",)


def played(data: bytes, size: int = 0) -> tuple[list[t.Event], ModelFailed | None]:
    """The log of a reply, as the gateway writes it."""
    state, events = RunState(), list[t.Event]()

    def add(drafts: Sequence[t.Draft]) -> None:
        events.extend(state.advance(draft, TS + len(events)) for draft in drafts)

    add([t.Draft(t.RunStarted(request()))])
    add(opening(state, "helper"))
    decoder = ResponsesCodec().decoder("m")
    log = ModelReply(state)
    for start in range(0, len(data), size or len(data) or 1):
        add(log.convert(decoder.feed(data[start : start + (size or len(data))])))
    add(log.convert(decoder.close()))
    if decoder.failure is not None:
        end = t.RunFailed(*_words(decoder.failure))
        add([*state.settle(end), t.Draft(end)])
    else:
        add(ending(state))
    return events, decoder.failure


def _words(failure: ModelFailed) -> tuple[str, str, str, str]:
    return failure.code, failure.message, failure.param, failure.dialect


def shown(events: Sequence[t.Event]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        reply.response(RUN, events, stream.ResponsesStreamOptions(include=INCLUDE))
    )
    return document


def bare(item: dict[str, Any]) -> dict[str, Any]:
    """An item without its id and status, which are ours, and without empty fields."""
    made = {k: v for k, v in item.items() if k not in ("id", "status") and v not in (None, [])}
    for field in ("content", "summary"):
        if field in made:
            made[field] = [
                {k: v for k, v in part.items() if v not in (None, [])} for part in made[field]
            ]
    return made


def content(item: dict[str, Any]) -> Any:
    """The content of an item, however its texts are divided into parts."""
    made = bare(item)
    for field in ("content", "summary"):
        parts = made.pop(field, ())
        for kind in ("text", "refusal"):
            text = "".join(part.get(kind, "") for part in parts)
            if text:
                made[f"{field}.{kind}"] = text
        cites = [cite for part in parts for cite in part.get("annotations", ())]
        if cites:
            made["cites"] = cites
    return made


@given(items=responses_replies.items())
def test_a_reply_is_reproduced(items: list[dict[str, Any]]) -> None:
    """Item by item, field by field, in order: in the stream, its document and the SDK's accumulator."""
    events, failure = played(wire(told(items)))
    assert failure is None
    document = shown(events)
    assert [bare(item) for item in document["output"]] == [bare(item) for item in items]
    frames = stream.ResponsesEncoder(RUN, stream.ResponsesStreamOptions(include=INCLUDE)).encode(
        events
    )
    order.check(frames)
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    last: Any = None
    for data in strict.data_of(frames):
        event: Any = construct_type(type_=ResponseStreamEvent, value=json.loads(data))
        last = (state.handle_event(event) or [last])[-1]
    final = last.response.model_dump(exclude_unset=True, by_alias=True)
    final_items = [
        {k: v for k, v in i.items() if not k.startswith("parsed")} for i in final["output"]
    ]
    for item in final_items:
        for part in item.get("content") or ():
            part.pop("parsed", None)
    assert [bare(item) for item in final_items] == [bare(item) for item in items]


@pytest.mark.parametrize("name", ODDITIES)
@given(items=responses_replies.items(), size=st.sampled_from((0, 0, 7, 64)))
def test_an_irregular_stream_gives_the_same_document(
    name: str, items: list[dict[str, Any]], size: int
) -> None:
    events, failure = played(wire(ODDITIES[name](told(items))), size)
    assert failure is None
    document = shown(events)
    output = document["output"]
    if name in ("only the final response and texts", "no beginnings"):
        key = lambda item: json.dumps(item, sort_keys=True)  # noqa: E731
        assert sorted(map(key, map(content, output))) == sorted(map(key, map(content, items)))
    else:
        assert [content(item) for item in output] == [content(item) for item in items]
    assert document["status"] == "completed"
    assert document["usage"]["input_tokens"] == 5


@given(
    items=responses_replies.items(),
    names=st.lists(st.sampled_from(sorted(ODDITIES)), min_size=2, max_size=3),
)
def test_oddities_together_never_break_a_run(items: list[dict[str, Any]], names: list[str]) -> None:
    events = told(items)
    for name in names:
        events = ODDITIES[name](events)
    log, failure = played(wire(events))
    assert failure is None
    said = json.dumps(shown(log)["output"], ensure_ascii=False)
    empty = {
        "an empty final output",
        "done without content",
        "content only in the final response",
        "no ends of items",
    } & set(names)
    for item in () if empty else items:
        for part in item.get("content", ()) if item["type"] == "message" else ():
            for text in filter(None, (part.get("text"), part.get("refusal"))):
                assert json.dumps(text, ensure_ascii=False)[1:-1] in said


def response(**fields: Any) -> dict[str, Any]:
    return {"id": "resp_up", "object": "response", "status": "completed", "output": [], **fields}


FAILURES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"type": "error", "code": "c", "message": "m", "param": "p"}, "c", "m", "p"),
    ({"type": "error", "error": {"code": "c", "message": "m", "param": "p"}}, "c", "m", "p"),
    ({"error": {"code": "c", "message": "m"}}, "c", "m", ""),
    ({"error": "m"}, "server_error", "m", ""),
    ({"object": "error", "message": "m", "code": 500}, "server_error", "m", ""),
    ({"type": "error", "code": 429, "message": "m"}, "rate_limit_exceeded", "m", ""),
    (
        {
            "type": "response.failed",
            "response": response(
                status="failed", error={"code": "context_length_exceeded", "message": "m"}
            ),
        },
        "context_length_exceeded",
        "m",
        "",
    ),
    (
        {"type": "response.completed", "response": response(error={"code": "c", "message": "m"})},
        "c",
        "m",
        "",
    ),
    (
        {"type": "response.completed", "response": response(status="failed")},
        "server_error",
        "The model server reported an error.",
        "",
    ),
    (
        {"type": "response.incomplete", "response": response(status="cancelled")},
        "server_error",
        "The model server cancelled the reply.",
        "",
    ),
]


@pytest.mark.parametrize(("event", "code", "message", "param"), FAILURES)
def test_a_failure_is_a_failure_in_its_own_words(
    event: dict[str, Any], code: str, message: str, param: str
) -> None:
    events, failure = played(wire([event]))
    assert failure is not None
    assert (failure.code, failure.message, failure.param) == (code, message, param)
    document = shown(events)
    assert document["status"] == "failed"
    assert (document["error"]["code"], document["error"].get("param", "")) == (code, param)
    frames = stream.ResponsesEncoder(RUN, stream.ResponsesStreamOptions()).encode(events)
    (error,) = [json.loads(d) for d in strict.data_of(frames) if b'"type":"error"' in d[:20]]
    assert (error["code"], error["param"]) == (code, param or None)


@given(items=responses_replies.items(), cut=st.floats(0, 1, exclude_max=True), mark=st.booleans())
def test_what_has_no_end_is_no_success(items: list[dict[str, Any]], cut: float, mark: bool) -> None:
    """The exception: all items that began are complete, and the server marked the end."""
    events = told(items)[:-1]
    some = events[: int(cut * len(events))]
    data = wire(some) + (b"data: [DONE]\n\n" if mark else b"")
    _, failure = played(data)
    kinds = [event["type"] for event in some]
    begun, done = (kinds.count(f"response.output_item.{end}") for end in ("added", "done"))
    assert (failure is None) == (mark and begun == done > 0)


def test_a_reply_that_is_cut_off_keeps_its_words() -> None:
    added = {"type": "response.output_item.added", "output_index": 0}
    events: list[dict[str, Any]] = [
        {**added, "item": {"type": "function_call", "id": "f", "call_id": "c", "name": "n"}},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a"'},
        {
            "type": "response.incomplete",
            "response": response(
                status="incomplete", incomplete_details={"reason": "max_messages", "most": 3}
            ),
        },
    ]
    log, failure = played(wire(events))
    assert failure is None
    document = shown(log)
    assert document["status"] == "incomplete"
    assert document["incomplete_details"] == {"reason": "max_messages", "most": 3}
    assert [item["status"] for item in document["output"]] == ["incomplete"]


def test_the_servers_fields_of_the_reply_come_with_it() -> None:
    own = {
        "service_tier": "ultrafast",
        "moderation": {"flagged": False},
        "tool_usage": {"web_search": 2},
        "billing": {"payer": "developer"},
        "novel": [1],
    }
    usage = {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 1, "audio_tokens": 2},
        "output_tokens": 3.0,
        "cost": 0.5,
    }
    events = [{"type": "response.completed", "response": response(usage=usage, **own)}]
    log, _ = played(wire(events))
    document = shown(log)
    assert {name: document[name] for name in own} == own
    assert document["usage"]["cost"] == 0.5
    assert document["usage"]["input_tokens_details"] == {
        "cached_tokens": 1,
        "cache_write_tokens": 0,
        "audio_tokens": 2,
    }
    assert document["usage"]["total_tokens"] == 8


ODD_USAGE: list[Any] = [
    None,
    [],
    "x",
    {"input_tokens": "5"},
    {"input_tokens": None},
    {"input_tokens": 1e300},
]


@pytest.mark.parametrize("usage", ODD_USAGE, ids=str)
def test_an_odd_count_ends_no_run(usage: Any) -> None:
    log, failure = played(wire([{"type": "response.completed", "response": response(usage=usage)}]))
    assert failure is None
    assert shown(log)["usage"]["input_tokens"] == 0


TOLD_ON_THE_WAY = [
    {"type": "response.image_generation_call.partial_image", "item_id": "i", "output_index": 0,
     "partial_image_b64": "QQ==", "partial_image_index": 0, "size": "1x1"},
    {"type": "response.shell_call_command.delta", "output_index": 0, "command_index": 0, "delta": "l"},
    {"type": "response.shell_call_output_content.delta", "item_id": "i", "output_index": 0,
     "command_index": 0, "delta": {"stdout": "x"}},
    {"type": "response.compaction.compacting", "item_id": "i", "output_index": 0},
    {"type": "response.code_interpreter_call_code.delta", "item_id": "i", "output_index": 0, "delta": "1"},
    {"type": "response.novel.thing", "item_id": "i", "output_index": 0, "more": {"a": 1}},
]  # fmt: skip


@pytest.mark.parametrize("event", TOLD_ON_THE_WAY, ids=lambda event: event["type"])
def test_events_of_a_servers_own_item_are_passed_on(event: dict[str, Any]) -> None:
    kind = event["type"].split(".")[1].removesuffix("_command").removesuffix("_output_content")
    item = {"type": kind.removesuffix("_code"), "id": "i", "status": "completed"}
    place = {"output_index": 0}
    events = [
        {"type": "response.output_item.added", **place, "item": {**item, "status": "in_progress"}},
        event,
        {"type": "response.output_item.done", **place, "item": item},
        {"type": "response.completed", "response": response(output=[item])},
    ]
    log, _ = played(wire(events))
    frames = stream.ResponsesEncoder(RUN, stream.ResponsesStreamOptions()).encode(log)
    made = [json.loads(data) for data in strict.data_of(frames)]
    (got,) = [each for each in made if each["type"] == event["type"]]
    assert got.pop("sequence_number") > 0
    if "item_id" in event:
        assert got.pop("item_id") == made[-1]["response"]["output"][0]["id"]
    assert got == {name: value for name, value in event.items() if name != "item_id"}


def test_calls_without_index_and_id_are_distinguished() -> None:
    """The form of servers that number everything 0 and send no ids."""
    added = {"type": "response.output_item.added", "output_index": 0}
    grown = {"type": "response.function_call_arguments.delta", "output_index": 0}
    calls = [
        {"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": f'{{"n":{n}}}'}
        for n in range(3)
    ]
    events = [
        event
        for call in calls
        for event in (
            {**added, "item": {**call, "arguments": ""}},
            {**grown, "delta": call["arguments"]},
        )
    ]
    log, failure = played(
        wire([*events, {"type": "response.completed", "response": response(output=calls)}])
    )
    assert failure is None
    output = shown(log)["output"]
    assert [(c["call_id"], c["arguments"]) for c in output] == [
        (c["call_id"], c["arguments"]) for c in calls
    ]


def test_texts_of_two_items_at_one_index_are_distinguished_by_their_ids() -> None:
    def piece(id_: str, text: str) -> dict[str, Any]:
        return {
            "type": "response.output_text.delta", "item_id": id_, "output_index": 0,
            "content_index": 0, "delta": text,
        }  # fmt: skip

    added = {"type": "response.output_item.added", "output_index": 0}
    events = [
        *({**added, "item": {"type": "message", "id": id_, "content": []}} for id_ in "ab"),
        *(piece(*each) for each in (("a", "one "), ("b", "uno "), ("a", "two"), ("b", "due"))),
        {"type": "response.completed", "response": response()},
    ]
    log, _ = played(wire(events))
    texts = [item["content"][0]["text"] for item in shown(log)["output"]]
    assert texts == ["one two", "uno due"]


@pytest.mark.parametrize(
    ("index", "final", "text"),
    [
        (0, "on and on", "one"),  # text that was shown stays
        (1, "one more", "one more"),  # the server numbers its parts in two ways
        (0, "one more", "one more"),
    ],
)
def test_the_final_response_completes_the_stream_without_contradiction(
    index: int, final: str, text: str
) -> None:
    item = {"type": "message", "id": "m", "role": "assistant", "content": []}
    content = [{"type": "output_text", "text": final, "annotations": []}]
    place = {"item_id": "m", "output_index": 0, "content_index": index}
    events: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_text.delta", **place, "delta": "one"},
        {
            "type": "response.completed",
            "response": response(output=[{**item, "content": content}]),
        },
    ]
    log, failure = played(wire(events))
    assert failure is None
    (message,) = shown(log)["output"]
    assert "".join(part["text"] for part in message["content"]) == text
