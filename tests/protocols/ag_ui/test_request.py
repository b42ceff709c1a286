"""`RunAgentInput`: which parts of it a model receives, and which inputs are refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import BadRequest
from tailrace.events.history import NOT_RUN
from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
    Message,
    Part,
    Reasoning,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.events.request import ToolSpec
from tailrace.protocols.ag_ui import request
from tests.support.logs import user

Sent = dict[str, Any]
ASK: Sent = {"id": "u1", "role": "user", "content": "Hi"}
MORE: Sent = {"id": "u2", "role": "user", "content": "More"}


def _decode(**fields: Any) -> request.RunAgentInput:
    body = {"threadId": "t", "runId": "r", "messages": [ASK], **fields}
    return request.decode(msgspec.json.encode(body))


def _calling(*ids: str, **fields: Any) -> Sent:
    function = {"name": "find", "arguments": "{}"}
    calls = [{"id": id, "type": "function", "function": function} for id in ids]
    return {"id": "a", "role": "assistant", "toolCalls": calls, **fields}


def _output(id: str, content: Any = "ok", **fields: Any) -> Sent:
    return {"id": f"o{id}", "role": "tool", "toolCallId": id, "content": content, **fields}


def _call(id: str) -> ToolCall:
    return ToolCall(call_id=id, name="find", arguments="{}")


def _told(id: str, text: str = "ok", *, error: bool = False) -> ToolOutput:
    return ToolOutput(call_id=id, output=(TextPart(text),), is_error=error)


def _said(text: str) -> Message:
    return Message(role="assistant", content=(TextPart(text),))


SAYS: Sent = {"id": "a", "role": "assistant", "content": "Hello"}
SPLITS: dict[str, tuple[list[Sent], tuple[Item, ...], tuple[Item, ...]]] = {
    # name: messages, history, new input
    "one message": ([ASK], (), (user("Hi"),)),
    "an answered turn": ([ASK, SAYS, MORE], (user("Hi"), _said("Hello")), (user("More"),)),
    "two things said": ([ASK, MORE], (), (user("Hi"), user("More"))),
    "outputs of calls": (
        [ASK, _calling("c1", "c2"), _output("c1"), _output("c2")],
        (user("Hi"), _call("c1"), _call("c2")),
        (_told("c1"), _told("c2")),
    ),
    "outputs, and something said": (
        [ASK, _calling("c1"), _output("c1"), MORE],
        (user("Hi"), _call("c1"), _told("c1")),
        (user("More"),),
    ),
    "text and call in one message": (
        [ASK, _calling("c1", content="Look."), _output("c1")],
        (user("Hi"), _said("Look."), _call("c1")),
        (_told("c1"),),
    ),
    "a call that nobody answered": (
        [ASK, _calling("c1"), MORE],
        (user("Hi"), _call("c1"), _told("c1", NOT_RUN, error=True)),
        (user("More"),),
    ),
    "one of two calls answered": (
        [ASK, _calling("c1", "c2"), _output("c2")],
        (user("Hi"), _call("c1"), _call("c2")),
        (_told("c2"), _told("c1", NOT_RUN, error=True)),
    ),
    "thoughts": (
        [ASK, {"role": "reasoning", "content": "Hm."}, SAYS, MORE],
        (user("Hi"), Reasoning(summary=("Hm.",)), _said("Hello")),
        (user("More"),),
    ),
    "activities are for screens": (
        [{"role": "activity", "activityType": "x", "content": {}}, ASK],
        (),
        (user("Hi"),),
    ),
    "what subagents did is not told": (
        [
            ASK,
            _calling("c1"),
            {**_calling("c2", content="Below."), "subagentRunId": "s"},
            _output("c2"),
            _output("c3", subagentRunId="s"),
            {"role": "reasoning", "content": "Hm.", "subagentRunId": "s"},
            _output("c1"),
            SAYS,
            MORE,
        ],
        (user("Hi"), _call("c1"), _told("c1"), _said("Hello")),
        (user("More"),),
    ),
    "instructions on the way": (
        [
            {"role": "system", "content": "Be kind."},
            ASK,
            SAYS,
            {"role": "developer", "content": "x"},
        ],
        (Message(role="system", content=(TextPart("Be kind."),)), user("Hi"), _said("Hello")),
        (Message(role="developer", content=(TextPart("x"),)),),
    ),
}


@pytest.mark.parametrize("name", SPLITS)
def test_what_was_before_and_what_is_new(name: str) -> None:
    messages, before, new = SPLITS[name]
    asked = _decode(messages=messages).request
    assert (asked.history, asked.input) == (before, new)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"content": "no", "error": "broken"}, _told("c1", "no", error=True)),
        ({"content": "", "error": "broken"}, _told("c1", "broken", error=True)),
        ({"metadata": {"tailrace": {"isError": True}}}, _told("c1", error=True)),
        ({"metadata": {"other": 1}}, _told("c1")),
        ({"content": [{"type": "text", "text": "ok"}]}, _told("c1")),
    ],
)
def test_outputs_that_failed(fields: Sent, told: ToolOutput) -> None:
    asked = _decode(messages=[ASK, _calling("c1"), {**_output("c1"), **fields}])
    assert asked.request.input == (told,)


def _source(kind: str, value: str, mime: str | None = None) -> Sent:
    return {"type": kind, "value": value, **({"mimeType": mime} if mime else {})}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "text", "text": "x"}, TextPart("x")),
        (
            {"type": "image", "source": _source("data", "AA", "image/png")},
            ImagePart(url="data:image/png;base64,AA"),
        ),
        ({"type": "image", "source": _source("url", "http://a/b")}, ImagePart(url="http://a/b")),
        ({"type": "image", "source": _source("file", "f1")}, ImagePart(file_id="f1")),
        (
            {"type": "audio", "source": _source("data", "AA", "audio/mpeg")},
            AudioPart(data="AA", format="mp3"),
        ),
        ({"type": "audio", "source": _source("url", "http://a/b")}, FilePart(url="http://a/b")),
        (
            {
                "type": "document",
                "source": _source("data", "AA", "application/pdf"),
                "metadata": {"filename": "a.pdf"},
            },
            FilePart(data="data:application/pdf;base64,AA", filename="a.pdf"),
        ),
        ({"type": "document", "source": _source("file", "f1")}, FilePart(file_id="f1")),
        ({"type": "video", "source": _source("url", "http://a/b")}, FilePart(url="http://a/b")),
        (
            {"type": "binary", "mimeType": "image/png", "data": "AA"},
            ImagePart(url="data:image/png;base64,AA"),
        ),
        (
            {"type": "binary", "mimeType": "text/csv", "url": "http://a/b", "filename": "b"},
            FilePart(url="http://a/b", filename="b"),
        ),
        ({"type": "binary", "mimeType": "image/png", "id": "f1"}, ImagePart(file_id="f1")),
    ],
)
def test_parts_of_a_message(part: Sent, told: Part) -> None:
    (message,) = _decode(messages=[{"role": "user", "content": [part]}]).request.input
    assert isinstance(message, Message)
    assert message.content == (told,)


def test_tools_are_the_clients() -> None:
    schema = {"type": "object"}
    tools = [{"name": "show", "description": "Shows.", "parameters": schema}, {"name": "hide"}]
    assert _decode(tools=tools).request.settings.tools == (
        ToolSpec(name="show", description="Shows.", parameters=schema),
        ToolSpec(name="hide"),
    )


def test_answers_need_no_message() -> None:
    answer = {"interruptId": "apr_1", "status": "resolved", "payload": {"approved": True}}
    asked = _decode(messages=[ASK, SAYS], resume=[answer], protocolVersion="1.0", state={"a": 1})
    assert (asked.request.history, asked.request.input) == ((), ())
    assert asked.request.settings.extra == {
        "state": {"a": 1},
        "resume": [answer],
        "protocolVersion": "1.0",
    }
    (resume,) = asked.resume
    assert (resume.interrupt, resume.status, resume.where) == ("apr_1", "resolved", "resume[0]")


REFUSED: dict[str, tuple[Sent, str]] = {
    "a thread of another type": ({"threadId": 1}, "threadId"),
    "no thread": ({"threadId": ""}, "threadId"),
    "no run": ({"runId": None}, "runId"),
    "a parent of another type": ({"parentRunId": 1}, "parentRunId"),
    "messages of another type": ({"messages": {}}, "messages"),
    "a message of another type": ({"messages": ["x"]}, "messages[0]"),
    "no content": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "an unknown part": (
        {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
        "messages[0].content[0].type",
    ),
    "an unknown source": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": _source("x", "y")}]}
            ]
        },
        "messages[0].content[0].source.type",
    ),
    "no source": (
        {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
        "messages[0].content[0].source",
    ),
    "a binary of nothing": (
        {"messages": [{"role": "user", "content": [{"type": "binary", "mimeType": "a/b"}]}]},
        "messages[0].content[0].id",
    ),
    "a call without a function": (
        {"messages": [{"role": "assistant", "toolCalls": [{"id": "c"}]}]},
        "messages[0].toolCalls[0].function",
    ),
    "an output of no call": (
        {"messages": [{"role": "tool", "content": "x"}]},
        "messages[0].toolCallId",
    ),
    "a tool without a name": ({"tools": [{}]}, "tools[0].name"),
    "a schema of another type": (
        {"tools": [{"name": "a", "parameters": 1}]},
        "tools[0].parameters",
    ),
    "context of another type": ({"context": [{"description": "a"}]}, "context[0].value"),
    "answers of another type": ({"resume": {}}, "resume"),
    "an answer to nothing": ({"resume": [{"status": "resolved"}]}, "resume[0].interruptId"),
    "an unknown status": ({"resume": [{"interruptId": "a", "status": 1}]}, "resume[0].status"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_fault_is_named(name: str) -> None:
    fields, param = REFUSED[name]
    with pytest.raises(BadRequest) as caught:
        _decode(**fields)
    assert caught.value.param == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(("user", "tool", "text", "a")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("role", "content", "type", "toolCalls", "function", "source", "id")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    fields=st.dictionaries(
        st.sampled_from(("messages", "tools", "context", "resume", "state", "metadata")), JSON
    )
)
def test_any_json_is_decoded_or_refused(fields: Sent) -> None:
    with suppress(BadRequest):
        _decode(**fields)
