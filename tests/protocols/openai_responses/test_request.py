"""`POST /responses`: which requests are accepted, which are refused with which parameter's name, and that
garbage is safe."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import BadRequest
from tailrace.events import stored
from tailrace.events import types as t
from tailrace.events.request import OutputFormat, RunRequest, Settings, ToolChoice, ToolSpec
from tailrace.protocols.openai_responses import conversations, reply, request, stream
from tests.support import rubbish, strict
from tests.support.logs import RUN, user
from tests.support.responses_items import DECODED, INPUT

FUNCTION = {
    "type": "function",
    "name": "find",
    "description": "Finds.",
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}
FULL: dict[str, Any] = {
    "model": "helper",
    "input": INPUT,
    "instructions": "Be brief.",
    "tools": [FUNCTION, {"type": "custom", "name": "patch"}, {"type": "web_search"}],
    "tool_choice": {"type": "function", "name": "find"},
    "parallel_tool_calls": False,
    "text": {
        "format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True},
        "verbosity": "low",
    },
    "temperature": 0,
    "top_p": 0.5,
    "top_logprobs": 2,
    "max_output_tokens": 9,
    "reasoning": {"effort": "low", "summary": "auto"},
    "service_tier": "flex",
    "user": "u",
    "metadata": {"team": "a"},
    "store": False,
    "background": True,
    "truncation": "auto",
    "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
    "previous_response_id": "resp_1",
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "max_tool_calls": 3,
    "prompt_cache_key": "k",
    "novel": {"any": 1},
}


TOOLS = [
    *FULL["tools"],
    {"type": "web_search_preview"},
    {"type": "mcp", "server_label": "docs", "server_url": "http://127.0.0.1:9/"},
]


def decode(**fields: Any) -> request.CreateResponse:
    return request.decode(json.dumps({"model": "m", "input": "Hi", **fields}).encode())


def test_every_parameter_has_its_place() -> None:
    made = request.decode(json.dumps(FULL).encode())
    assert made.stream
    assert made.references == ()
    assert made.request == RunRequest(
        agent="",
        model="helper",
        surface="responses",
        input=DECODED,
        instructions="Be brief.",
        settings=Settings(
            tools=(
                ToolSpec(
                    name="find",
                    description="Finds.",
                    parameters=FUNCTION["parameters"],
                    strict=True,
                    origin="responses",
                ),
                ToolSpec(kind="custom", name="patch", origin="responses"),
                ToolSpec(
                    kind="provider",
                    name="web_search",
                    raw={"type": "web_search"},
                    origin="responses",
                ),
            ),
            tool_choice=ToolChoice(mode="required", names=("find",), raw=FULL["tool_choice"]),
            parallel_tool_calls=False,
            output=OutputFormat(kind="json_schema", name="a", schema={}, strict=True),
            temperature=0.0,
            top_p=0.5,
            max_output_tokens=9,
            logprobs=True,
            top_logprobs=2,
            reasoning_effort="low",
            reasoning_summary="auto",
            verbosity="low",
            service_tier="flex",
            user="u",
            origin="responses",
            extra={
                "max_tool_calls": 3,
                "prompt_cache_key": "k",
                "novel": {"any": 1},
                "include": FULL["include"],
                "truncation": "auto",
            },
        ),
        metadata={"team": "a"},
        previous="resp_1",
        store=False,
        background=True,
        truncation="auto",
        include=("message.output_text.logprobs", "reasoning.encrypted_content"),
    )


def test_a_string_is_a_user_message_and_defaults_are_openais() -> None:
    made = decode()
    assert made == request.CreateResponse(
        RunRequest(
            agent="",
            model="m",
            surface="responses",
            input=(user("Hi"),),
            settings=Settings(origin="responses"),
        ),
        (),
        stream=False,
    )


@pytest.mark.parametrize("conversation", ["conv_1", {"id": "conv_1"}])
def test_a_conversation_is_named_by_id_or_object(conversation: object) -> None:
    assert decode(conversation=conversation).request.conversation == "conv_1"


def test_item_references_keep_their_place() -> None:
    wanted = [{"type": "item_reference", "id": "msg_1"}, INPUT[0], {"id": "msg_2"}]
    made = decode(input=wanted)
    assert made.references == ((0, "msg_1"), (2, "msg_2"))
    assert made.request.input == DECODED[:1]


CHOICES: list[tuple[Any, ToolChoice]] = [
    ("auto", ToolChoice()),
    ("none", ToolChoice(mode="none")),
    ("required", ToolChoice(mode="required")),
    ({"type": "custom", "name": "patch"}, ToolChoice(mode="required", names=("patch",))),
    (
        {"type": "web_search_preview"},
        ToolChoice(mode="required", names=("web_search_preview",)),
    ),
    ({"type": "mcp", "server_label": "docs"}, ToolChoice(mode="required", names=("mcp:docs",))),
    (
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "find"}]},
        ToolChoice(names=("find",)),
    ),
]


@pytest.mark.parametrize(("sent", "meant"), CHOICES)
def test_a_tool_choice_is_echoed_as_it_was_meant(sent: Any, meant: ToolChoice) -> None:
    made = decode(tools=TOOLS, tool_choice=sent).request
    raw = sent if isinstance(sent, dict) else {}
    assert made.settings.tool_choice == msgspec.structs.replace(meant, raw=raw)
    assert _created(made)["tool_choice"] == sent


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": 5}, "input"),
    ({"input": None}, "input"),
    ({"input": ["Hi"]}, "input[0]"),
    ({"input": [{"type": 3}]}, "input[0].type"),
    ({"input": [{"content": "Hi"}]}, "input[0].type"),
    ({"input": [{"role": "robot", "content": "Hi"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": 5}]}]}, "input[0].content[0].type"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
        "input[0].content[0].text",
    ),
    (
        {
            "input": [
                {**INPUT[3], "content": [{"type": "output_text", "text": "", "annotations": 1}]}
            ]
        },
        "input[0].content[0].annotations",
    ),
    ({"input": [{"type": "function_call", "name": "a", "arguments": ""}]}, "input[0].call_id"),
    ({"input": [{"type": "item_reference", "id": 1}]}, "input[0].id"),
    ({"previous_response_id": "a", "conversation": "b"}, "previous_response_id"),
    ({"previous_response_id": 1}, "previous_response_id"),
    ({"conversation": 1}, "conversation"),
    ({"tools": "find"}, "tools"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [{"name": "find"}]}, "tools[0].type"),
    ({"tools": [{**FUNCTION, "parameters": []}]}, "tools[0].parameters"),
    ({"tool_choice": "any"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "find"}}}, "tool_choice.name"),
    ({"tool_choice": {"type": "custom", "custom": {"name": "patch"}}}, "tool_choice.name"),
    ({"tool_choice": {"type": "function", "name": ""}}, "tool_choice.name"),
    ({"tool_choice": {"name": "find"}}, "tool_choice"),
    ({"tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "tool_choice"),
    (
        {"tool_choice": {"type": "allowed_tools", "tools": [{"type": "function"}]}},
        "tool_choice.tools[0].name",
    ),
    ({"temperature": 9}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": -3}, "max_output_tokens"),
    ({"max_tool_calls": 0}, "max_tool_calls"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
    ({"text": []}, "text"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": 10**400}, "temperature"),
    ({"max_output_tokens": 1.5}, "max_output_tokens"),
    ({"max_output_tokens": 10**30}, "max_output_tokens"),
    ({"max_output_tokens": True}, "max_output_tokens"),
    ({"max_tool_calls": "3"}, "max_tool_calls"),
    ({"stream": "yes"}, "stream"),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": {"a": "x" * 513}}, "metadata"),
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
    ({"reasoning": {"effort": 1}}, "reasoning.effort"),
    ({"include": "all"}, "include"),
    ({"novel": rubbish.nested(120)}, ""),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_a_mistake_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"input":"\\ud800"}'])
def test_a_body_that_is_not_json_is_the_clients_error(body: bytes) -> None:
    with pytest.raises(BadRequest):
        request.decode(body)


@given(body=rubbish.bodies(FULL))
def test_rubbish_is_refused_or_can_be_kept_and_shown(body: bytes) -> None:
    """Every accepted request can be stored, read back, shown, and sent on."""
    made = rubbish.only_caller_errors(request.decode, body)
    if made is None:
        return
    log = [t.Event(0, 0, "", "", t.RunStarted(made.request))]
    assert stored.decode(stored.frame(log).body) == log
    stream.ResponsesEncoder(RUN, stream.ResponsesStreamOptions()).encode(log)
    reply.input_items(RUN, made.request, {})


@given(body=rubbish.bodies({"items": INPUT, "metadata": {"a": "b"}}))
def test_rubbish_in_conversations_is_the_callers_fault(body: bytes) -> None:
    rubbish.only_caller_errors(conversations.decode, body)


@given(body=rubbish.bodies(FULL))
def test_rubbish_to_count_is_the_callers_fault(body: bytes) -> None:
    made = rubbish.only_caller_errors(request.decode_input_tokens, body)
    if made is not None:
        assert json.loads(reply.input_tokens(made.request))["input_tokens"] >= 0


@given(
    effort=st.text(max_size=6) | st.just("high"),
    tier=st.text(max_size=6) | st.sampled_from(("flex", "ultrafast")),
    choice=st.sampled_from([sent for sent, _ in CHOICES]),
    truncation=st.sampled_from(("auto", "disabled", "odd")),
)
def test_the_echo_is_strictly_valid(effort: str, tier: str, choice: Any, truncation: str) -> None:
    fields = {"reasoning": {"effort": effort}, "service_tier": tier, "truncation": truncation}
    _created(decode(tools=FULL["tools"], tool_choice=choice, **fields).request)


def test_the_echo_keeps_an_mcp_servers_secrets() -> None:
    tool = {
        "type": "mcp",
        "server_label": "docs",
        "server_url": "http://127.0.0.1:9/",
        "require_approval": "never",
    }
    secret = {**tool, "authorization": "s3cret", "headers": {"X-Key": "s3cret"}}
    made = decode(tools=[secret]).request
    assert made.settings.tools[0].raw == secret
    assert _created(made)["tools"] == [tool]


def _created(asked: RunRequest) -> dict[str, Any]:
    """The Response object that `response.created` shows for a request."""
    log = [t.Event(0, 1_763_690_000_123, "", "", t.RunStarted(asked))]
    frames = stream.ResponsesEncoder(RUN, stream.ResponsesStreamOptions()).encode(log)
    strict.responses(frames)
    shown: dict[str, Any] = json.loads(strict.data_of(frames)[0])["response"]
    return shown
