"""Every documented field of a request, in one dialect in and out.

A field is passed on, handled by us for a named reason, or refused by name; it is never dropped silently. A
newer SDK with more fields fails here until each has its place.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_message_create_params
from openai.types.chat import (
    completion_create_params,
)
from openai.types.responses import response_create_params
from typing_extensions import get_type_hints

from tailrace.errors import CallerError
from tailrace.events.request import ModelRequest, RunRequest
from tailrace.protocols.anthropic_messages import request as messages
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.openai_chat import request as chat
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses import request as responses
from tailrace.protocols.openai_responses.upstream import ResponsesCodec

Object = dict[str, Any]
CODECS: dict[str, UpstreamCodec] = {
    "chat": ChatCodec(),
    "responses": ResponsesCodec(),
    "messages": MessagesCodec(),
}


def asked(dialect: str, fields: Object) -> RunRequest:
    body = json.dumps(fields).encode()
    if dialect == "messages":
        return messages.decode(body, "2023-06-01").request
    return chat.decode(body).request if dialect == "chat" else responses.decode(body).request


def sent(dialect: str, fields: Object) -> Object:
    """The request to a server of the dialect, from a client of the dialect."""
    made = asked(dialect, fields)
    request = ModelRequest(items=made.input, instructions=made.instructions, settings=made.settings)
    body: Object = json.loads(CODECS[dialect].request(request, "server's").body)
    return body


PASSED: dict[str, Object] = {
    "chat": {
        "audio": {"voice": "alloy", "format": "wav"},
        "frequency_penalty": 0.5,
        "logit_bias": {"1": 2},
        "logprobs": True,
        "max_completion_tokens": 9,
        "messages": [{"role": "user", "content": "Hi"}],
        "metadata": {"a": "b"},
        "modalities": ["text", "audio"],
        "moderation": {"model": "m"},
        "parallel_tool_calls": False,
        "prediction": {"type": "content", "content": "x"},
        "presence_penalty": 0.5,
        "prompt_cache_key": "k",
        "prompt_cache_options": {"ttl": "1h"},
        "prompt_cache_retention": "24h",
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "safety_identifier": "s",
        "seed": 3,
        "service_tier": "flex",
        "stop": ["x"],
        "store": True,
        "temperature": 0.5,
        "tool_choice": "required",
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "top_logprobs": 2,
        "top_p": 0.5,
        "user": "u",
        "verbosity": "low",
        "web_search_options": {"search_context_size": "low"},
    },
    "responses": {
        "access_programs": ["p"],
        "context_management": [{"type": "compaction", "compact_threshold": 9}],
        "image": {"quality": "low"},
        "include": ["web_search_call.action.sources"],
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "instructions": "Be.",
        "max_output_tokens": 9,
        "max_tool_calls": 2,
        "moderation": {"model": "m"},
        "parallel_tool_calls": False,
        "prompt": {"id": "p"},
        "prompt_cache_key": "k",
        "prompt_cache_options": {"ttl": "1h"},
        "prompt_cache_retention": "24h",
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": "s",
        "service_tier": "flex",
        "temperature": 0.5,
        "text": {"verbosity": "low", "format": {"type": "json_object"}},
        "tool_choice": "required",
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": False}],
        "top_logprobs": 2,
        "top_p": 0.5,
        "truncation": "auto",
        "user": "u",
    },
    "messages": {
        "billing_policy": {"type": "billing_policy", "bill_to": "user_profile"},
        "cache_control": {"type": "ephemeral"},
        "compaction": {"type": "auto"},
        "container": "c",
        "context_management": {"edits": []},
        "diagnostics": {"a": 1},
        "fallback_credit_token": "f",
        "fallbacks": [{"model": "x"}],
        "inference_geo": "eu",
        "max_tokens": 9,
        "mcp_servers": [{"type": "url", "url": "https://h", "name": "n"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "metadata": {"user_id": "u"},
        "output_config": {"effort": "low"},
        "service_tier": "auto",
        "speed": "fast",
        "stop_sequences": ["x"],
        "system": [{"type": "text", "text": "Be.", "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tool_choice": {"type": "any"},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    },
}
MODEL = {"model": "client's"}
OURS: dict[str, dict[str, tuple[Any, Any]]] = {
    # the client's value, and the value that the server receives instead (None: absent)
    "chat": {
        "max_tokens": (7, None),  # sent under the name that the server knows
        "model": ("client's", "server's"),
        "stream_options": ({"include_obfuscation": True}, {"include_usage": True}),
    },
    "responses": {
        "background": (True, None),
        "conversation": ("conv_1", None),
        "metadata": ({"a": "b"}, None),
        "model": ("client's", "server's"),
        "previous_response_id": ("resp_1", None),
        "store": (True, False),
        "stream_options": ({"include_obfuscation": True}, None),
    },
    "messages": {"model": ("client's", "server's")},
}
HEADERS = frozenset({"betas", "user_profile_id", "workspace_id"})
"""Of Messages: fields of the SDK that are headers. Beta names are passed on (`test_request.py`); the
operator's key determines the account."""
REFUSED: dict[str, Object] = {
    "chat": {"functions": [{"name": "f"}], "function_call": "auto", "n": 2},
    "responses": {},
    "messages": {"thread": {"id": "t"}},
}
DOCUMENTED: dict[str, Sequence[Any]] = {
    "chat": (completion_create_params.CompletionCreateParamsBase,),
    "responses": (response_create_params.ResponseCreateParamsBase,),
    "messages": (
        message_create_params.MessageCreateParamsBase,
        beta_message_create_params.MessageCreateParamsBase,
    ),
}
NEEDED: dict[str, Object] = {
    "chat": {**MODEL, "messages": PASSED["chat"]["messages"]},
    "responses": {**MODEL, "input": PASSED["responses"]["input"]},
    "messages": {
        **MODEL,
        "max_tokens": 9,
        "messages": PASSED["messages"]["messages"],
    },
}
TOGETHER = {"tool_choice": ("tools",), "parallel_tool_calls": ("tools",)}
"""Fields that have a meaning only beside others."""


@pytest.mark.parametrize("dialect", CODECS)
def test_every_documented_field_has_its_place(dialect: str) -> None:
    documented = set().union(*(get_type_hints(kind) for kind in DOCUMENTED[dialect]))
    places = [set(PASSED[dialect]), set(OURS[dialect]), set(REFUSED[dialect])]
    if dialect == "messages":
        places.append(set(HEADERS))
    assert sum(map(len, places)) == len(set().union(*places))
    assert set().union(*places) == documented


@pytest.mark.parametrize(("dialect", "name"), [(d, n) for d in PASSED for n in PASSED[d]])
def test_it_is_passed_on(dialect: str, name: str) -> None:
    known = PASSED[dialect]
    beside = {other: known[other] for other in TOGETHER.get(name, ())}
    body = sent(dialect, {**NEEDED[dialect], **beside, name: known[name]})
    assert body[name] == known[name]


@pytest.mark.parametrize("dialect", CODECS)
def test_all_together_are_passed_on_and_nothing_is_added(dialect: str) -> None:
    body = sent(dialect, {**MODEL, **PASSED[dialect]})
    ours = {"model": "server's", "stream": True}
    ours |= {n: told for n, (_, told) in OURS[dialect].items() if told is not None}
    if dialect == "responses":  # because the request asks for reasoning
        thoughts = [*PASSED[dialect]["include"], "reasoning.encrypted_content"]
        assert body == {**PASSED[dialect], **ours, "include": thoughts}
    else:
        assert body == {**PASSED[dialect], **ours}


@pytest.mark.parametrize("dialect", CODECS)
def test_unknown_fields_are_passed_on(dialect: str) -> None:
    body = sent(dialect, {**NEEDED[dialect], "novel": {"a": [None, 1]}})
    assert body["novel"] == {"a": [None, 1]}


@pytest.mark.parametrize(("dialect", "name"), [(d, n) for d in OURS for n in OURS[d]])
def test_it_is_ours(dialect: str, name: str) -> None:
    said, told = OURS[dialect][name]
    assert sent(dialect, {**NEEDED[dialect], name: said}).get(name) == told


@pytest.mark.parametrize(("dialect", "name"), [(d, n) for d in REFUSED for n in REFUSED[d]])
def test_it_is_refused_by_name(dialect: str, name: str) -> None:
    with pytest.raises(CallerError) as caught:
        asked(dialect, {**NEEDED[dialect], name: REFUSED[dialect][name]})
    assert caught.value.param == name
