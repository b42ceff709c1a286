"""`POST /chat/completions`: which requests are accepted, and which are refused with which parameter's
name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from tailrace.errors import BadRequest, CallerError, Unprocessable
from tailrace.events import stored
from tailrace.events import types as t
from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
    Message,
    Reasoning,
    RefusalPart,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.events.request import (
    ModelRequest,
    OutputFormat,
    RunRequest,
    Settings,
    ToolChoice,
    ToolSpec,
)
from tailrace.protocols.openai_chat import history, request, stream, tools
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses import stream as responses
from tests.support import rubbish
from tests.support.logs import RUN, user

PARAMETERS = {"type": "object", "properties": {}}
FUNCTION = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Finds.",
        "parameters": PARAMETERS,
        "strict": True,
    },
}
CUSTOM = {"type": "custom", "custom": {"name": "patch", "format": {"type": "text"}}}
CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}},
    {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "x"}},
]
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi", "name": "Ann"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "See"},
            {"type": "image_url", "image_url": {"url": "http://a/b.png", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,AA", "filename": "a"}},
        ],
    },
    {
        "role": "assistant",
        "content": "Yes",
        "reasoning_content": "Hm",
        "tool_calls": CALLS,
    },
    {"role": "tool", "tool_call_id": "c1", "content": "found"},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "ok"}]},
    {"role": "assistant", "content": None, "refusal": "No"},
]
DECODED: tuple[Item, ...] = (
    Message(role="system", content=(TextPart("Be brief."),)),
    Message(role="user", content=(TextPart("Hi"),), name="Ann"),
    Message(
        role="user",
        content=(
            TextPart("See"),
            ImagePart("http://a/b.png", detail="low"),
            AudioPart("AA", "wav"),
            FilePart(data="data:text/plain;base64,AA", filename="a"),
        ),
    ),
    Reasoning(text=("Hm",), details={"chat": {"reasoning_content": "Hm"}}),
    Message(role="assistant", content=(TextPart("Yes"),)),
    ToolCall(call_id="c1", name="find", arguments="{}"),
    ToolCall(call_id="c2", name="patch", arguments="x", custom=True),
    ToolOutput(call_id="c1", output=(TextPart("found"),)),
    ToolOutput(call_id="c2", output=(TextPart("ok"),)),
    Message(role="assistant", content=(RefusalPart("No"),)),
)
FULL: dict[str, Any] = {
    "model": "helper",
    "messages": MESSAGES,
    "tools": [FUNCTION, CUSTOM],
    "tool_choice": {"type": "function", "function": {"name": "find"}},
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
    "temperature": 1,
    "top_p": 0.5,
    "n": 1,
    "max_completion_tokens": 9,
    "stop": ["END"],
    "seed": 7,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
    "logprobs": True,
    "top_logprobs": 2,
    "reasoning_effort": "low",
    "verbosity": "low",
    "service_tier": "flex",
    "user": "u",
    "metadata": {"team": "a"},
    "store": True,
    "stream": True,
    "stream_options": {"include_usage": True},
    "logit_bias": {"50256": -100},
}


def decode(**fields: Any) -> request.CreateChatCompletion:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return request.decode(json.dumps(body).encode())


def test_every_parameter_has_its_place() -> None:
    made = request.decode(json.dumps(FULL).encode())
    assert made.stream
    assert made.include_usage
    assert made.request == RunRequest(
        agent="",
        model="helper",
        surface="chat",
        input=DECODED,
        settings=Settings(
            tools=(
                ToolSpec(
                    name="find",
                    description="Finds.",
                    parameters=PARAMETERS,
                    strict=True,
                    origin="chat",
                ),
                ToolSpec(
                    kind="custom", name="patch", raw={"format": {"type": "text"}}, origin="chat"
                ),
            ),
            tool_choice=ToolChoice(
                mode="required",
                names=("find",),
                raw={"type": "function", "function": {"name": "find"}},
            ),
            parallel_tool_calls=True,
            output=OutputFormat(kind="json_schema", name="a", schema={}),
            temperature=1.0,
            top_p=0.5,
            max_output_tokens=9,
            stop=("END",),
            seed=7,
            presence_penalty=0.1,
            frequency_penalty=0.2,
            logprobs=True,
            top_logprobs=2,
            reasoning_effort="low",
            verbosity="low",
            service_tier="flex",
            user="u",
            origin="chat",
            extra={"logit_bias": {"50256": -100}, "metadata": {"team": "a"}, "store": True},
        ),
        metadata={"team": "a"},
    )


def test_messages_round_trip_unchanged() -> None:
    """Consecutive items of one assistant are one message again."""
    encoded = history.encode_messages(DECODED, "")
    expected = [dict(message) for message in MESSAGES]
    expected[5]["content"] = "ok"
    assert encoded == expected


def test_instructions_are_the_first_message() -> None:
    encoded = history.encode_messages((user("Hi"),), "Be.")
    assert encoded[0] == {"role": "system", "content": "Be."}


def sent(**fields: Any) -> dict[str, Any]:
    """The request to OpenAI, from a Chat client."""
    made = decode(**fields).request
    asked = ModelRequest(items=made.input, settings=made.settings)
    body: dict[str, Any] = json.loads(ChatCodec().request(asked, "m").body)
    return body


def test_tools_round_trip_unchanged() -> None:
    assert sent(tools=[FUNCTION, CUSTOM])["tools"] == [FUNCTION, CUSTOM]


CHOICES: list[Any] = [
    "auto",
    "none",
    "required",
    {"type": "function", "function": {"name": "find"}},
    {"type": "custom", "custom": {"name": "patch"}},
    {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "auto",
            "tools": [{"type": "function", "function": {"name": "find"}}],
        },
    },
]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_tool_choice_round_trips_unchanged(choice: Any) -> None:
    assert sent(tools=[FUNCTION, CUSTOM], tool_choice=choice).get("tool_choice", "auto") == choice


@pytest.mark.parametrize(
    "form",
    [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": True}},
        {"type": "json_schema", "json_schema": {"name": "a", "description": "D"}},
    ],
)
def test_a_response_format_round_trips_unchanged(form: Any) -> None:
    assert tools.encode_format(decode(response_format=form).request.settings.output) == form


REFUSED: list[tuple[dict[str, Any], type[CallerError], str]] = [
    ({"n": 2}, Unprocessable, "n"),
    ({"functions": []}, Unprocessable, "functions"),
    ({"function_call": "auto"}, Unprocessable, "function_call"),
    ({"model": ""}, BadRequest, "model"),
    ({"model": 5}, BadRequest, "model"),
    ({"messages": []}, BadRequest, "messages"),
    ({"messages": "Hi"}, BadRequest, "messages"),
    ({"messages": ["Hi"]}, BadRequest, "messages[0]"),
    ({"messages": [{"content": "Hi"}]}, BadRequest, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, BadRequest, "messages[0].content"),
    (
        {"messages": [{"role": "user", "content": [{"type": 5}]}]},
        BadRequest,
        "messages[0].content[0].type",
    ),
    ({"messages": [{"role": "tool", "content": ""}]}, BadRequest, "messages[0].tool_call_id"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]},
        BadRequest,
        "messages[0].tool_calls[0].function.name",
    ),
    ({"tools": [{"type": "function"}]}, BadRequest, "tools[0].function.name"),
    ({"tool_choice": "any"}, BadRequest, "tool_choice"),
    ({"response_format": {"type": "xml"}}, BadRequest, "response_format.type"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": 1}}},
        BadRequest,
        "response_format.json_schema.schema",
    ),
    ({"temperature": []}, BadRequest, "temperature"),
    ({"stop": 5}, BadRequest, "stop"),
    ({"stop": [5]}, BadRequest, "stop"),
    ({"seed": "a"}, BadRequest, "seed"),
    ({"stream_options": {"include_usage": 1}}, BadRequest, "stream_options.include_usage"),
]


@pytest.mark.parametrize(("fields", "error", "param"), REFUSED)
def test_a_mistake_is_named(fields: dict[str, Any], error: type[CallerError], param: str) -> None:
    with pytest.raises(error) as caught:
        decode(**fields)
    assert caught.value.param == param


def test_the_newer_token_limit_wins() -> None:
    made = decode(max_tokens=5, max_completion_tokens=9)
    assert made.request.settings.max_output_tokens == 9
    assert decode(max_tokens=5).request.settings.max_output_tokens == 5


@given(body=rubbish.bodies(FULL))
def test_rubbish_is_refused_or_can_be_kept_and_shown(body: bytes) -> None:
    """Every accepted request can be stored, read back, shown on either surface, and sent on."""
    made = rubbish.only_caller_errors(request.decode, body)
    if made is None:
        return
    log = [t.Event(0, 0, "", "", t.RunStarted(made.request))]
    assert stored.decode(stored.frame(log).body) == log
    stream.ChatEncoder(RUN, stream.ChatStreamOptions(made.include_usage)).encode(log)
    responses.ResponsesEncoder(RUN, responses.ResponsesStreamOptions()).encode(log)
    history.encode_messages(made.request.input, "")
