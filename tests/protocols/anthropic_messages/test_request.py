"""The canonical form of a Messages request, and the request that a server of the same dialect receives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tailrace.errors import BadRequest
from tailrace.events.request import ModelRequest, Settings, ToolChoice
from tailrace.protocols.anthropic_messages import messages
from tailrace.protocols.anthropic_messages.messages import BETA
from tailrace.protocols.anthropic_messages.request import decode, decode_count
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses.upstream import ResponsesCodec

OLD, NEW = "2023-06-01", "2026-10-21"
ASK: dict[str, Any] = {
    "model": "m",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "Hi"}],
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOL = {"name": "f", "description": "d", "input_schema": SCHEMA}


def _settings(version: str = OLD, **fields: Any) -> Settings:
    return decode(msgspec.json.encode({**ASK, **fields}), version).request.settings


def _asked(body: dict[str, Any]) -> ModelRequest:
    """The request to a model server, for the body of a client."""
    request = decode(msgspec.json.encode(body), OLD).request
    return ModelRequest(
        items=request.input, instructions=request.instructions, settings=request.settings
    )


def test_a_plain_request() -> None:
    found = decode(msgspec.json.encode({**ASK, "system": "Be kind.", "stream": True}), "")
    assert found.stream
    assert found.request.instructions == "Be kind."
    assert found.request.settings.max_output_tokens == 10
    assert found.request.surface == "messages"


@pytest.mark.parametrize(
    ("choice", "canonical"),
    [
        ({"type": "auto"}, ToolChoice()),
        ({"type": "none"}, ToolChoice(mode="none")),
        ({"type": "any"}, ToolChoice(mode="required")),
        ({"type": "tool", "name": "f"}, ToolChoice(mode="required", names=("f",))),
    ],
)
def test_a_choice(choice: dict[str, str], canonical: ToolChoice) -> None:
    told = _settings(tool_choice=choice, tools=[TOOL]).tool_choice
    assert told == msgspec.structs.replace(canonical, raw=choice)


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, ""),
        ({"thinking": {"type": "disabled"}}, ""),
        ({"thinking": {"type": "adaptive"}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 60000}}, "high"),
        ({"output_config": {"effort": "high"}, "thinking": {"type": "adaptive"}}, "high"),
    ],
)
def test_how_hard_to_think(fields: dict[str, Any], effort: str) -> None:
    assert _settings(**fields).reasoning_effort == effort


def test_all_parameters_reach_a_server_of_the_same_dialect() -> None:
    body = {
        **ASK,
        "max_tokens": 99,
        "system": "Be kind.",
        "temperature": 0.5,
        "top_p": 0.5,
        "top_k": 3,
        "stop_sequences": ["a"],
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
                ],
            }
        ],
    }
    assert messages.encode(_asked(body), "m") == {**body, "stream": True}


CACHE = {"type": "ephemeral"}
MARKED: dict[str, dict[str, Any]] = {
    "a system prompt": {
        "system": [
            {"type": "text", "text": "Be kind.", "cache_control": CACHE},
            {"type": "text", "text": "Be brief."},
        ],
    },
    "a block that is not the last": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "All of it", "cache_control": CACHE},
                    {"type": "text", "text": "And now?"},
                ],
            }
        ],
    },
    "a call and what its result holds": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "See", "citations": [{"type": "char_location"}]},
                    {
                        "type": "tool_use",
                        "id": "c",
                        "name": "f",
                        "input": {},
                        "cache_control": CACHE,
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c",
                        "content": [{"type": "text", "text": "ok", "cache_control": CACHE}],
                    }
                ],
            },
        ],
    },
    "documents": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "Grass"},
                        "title": "D",
                        "context": "A field",
                        "citations": {"enabled": True},
                        "cache_control": CACHE,
                    },
                    {
                        "type": "document",
                        "source": {
                            "type": "base64",
                            "media_type": "application/pdf",
                            "data": "AAAA",
                        },
                        "citations": {"enabled": True},
                    },
                ],
            }
        ],
    },
    "a tool": {
        "tools": [{**TOOL, "strict": True, "input_examples": [{"a": 1}], "cache_control": CACHE}],
    },
}


@pytest.mark.parametrize("name", MARKED)
def test_fields_of_this_dialect_reach_its_servers(name: str) -> None:
    body = {**ASK, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}
    body |= MARKED[name]
    assert messages.encode(_asked(body), "m") == {**body, "stream": True}


def test_betas_reach_a_server_of_this_dialect_as_a_header() -> None:
    ask = {**ASK, "context_management": {"edits": []}, BETA: ["smuggled\r\nx: 1"]}
    said = "context-management-2025-06-27, files-api-2025-04-14,,no name\r\nx: 1"
    request = decode(msgspec.json.encode(ask), OLD, said).request
    asked = ModelRequest(items=request.input, instructions="", settings=request.settings)
    sent = MessagesCodec().request(asked, "m")
    assert sent.appended_headers == {BETA: "context-management-2025-06-27,files-api-2025-04-14"}
    body = msgspec.json.decode(sent.body)
    assert (body["context_management"], BETA in body) == ({"edits": []}, False)
    assert b"files-api" not in ChatCodec().request(asked, "m").body


def test_without_betas_there_is_no_beta_header() -> None:
    assert MessagesCodec().request(_asked(ASK), "m").appended_headers == {}


@pytest.mark.parametrize("codec", [ChatCodec(), ResponsesCodec()], ids=lambda codec: codec.dialect)
@pytest.mark.parametrize("name", MARKED)
def test_servers_of_other_dialects_do_not_receive_it(name: str, codec: UpstreamCodec) -> None:
    sent = codec.request(_asked({**ASK, **MARKED[name]}), "m").body
    for word in (b"cache_control", b"citations", b"input_examples", b"ephemeral"):
        assert word not in sent


def test_instructions_are_added_to_the_clients_system_blocks() -> None:
    asked = _asked({**ASK, **MARKED["a system prompt"]})
    told = msgspec.structs.replace(asked, instructions=f"You are it.\n\n{asked.instructions}")
    ours = {"type": "text", "text": "You are it."}
    theirs = MARKED["a system prompt"]["system"]
    assert messages.encode(told, "m")["system"] == [ours, *theirs]
    other = msgspec.structs.replace(asked, instructions="You are another.")
    assert messages.encode(other, "m")["system"] == "You are another."


PLACES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a document that an assistant says": (
        "assistant",
        MARKED["documents"]["messages"][0]["content"][0],
        "messages.0.content.0",
    ),
    "citations in what a user says": (
        "user",
        {"type": "text", "text": "See", "citations": []},
        "messages.0.content.0.citations",
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_new_version_is_strict_about_places(name: str) -> None:
    role, block, place = PLACES[name]
    body = msgspec.json.encode({**ASK, "messages": [{"role": role, "content": [block]}]})
    decode(body, OLD)
    with pytest.raises(BadRequest) as caught:
        decode(body, NEW)
    assert caught.value.param == place


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no limit": ({"max_tokens": None}, "max_tokens"),
    "less than nothing": ({"max_tokens": -1}, "max_tokens"),
    "an empty model": ({"model": ""}, "model"),
    "a user who says nothing": (
        {"messages": [{"role": "user", "content": ""}]},
        "messages.0.content",
    ),
    "a user who sends no blocks": (
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": []}]},
        "messages.1.content",
    ),
    "a tool without a schema": ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
    "a tool without a name": ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
    "a tool of an odd type": ({"tools": [{"type": 1, "name": "f"}]}, "tools.0.type"),
    "an unknown choice": ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
    "a choice of no tool": ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    "an unknown format": (
        {"output_config": {"format": {"type": "yaml"}}},
        "output_config.format.type",
    ),
    "stop sequences of an odd type": ({"stop_sequences": [1]}, "stop_sequences"),
    "hot": ({"temperature": "hot"}, "temperature"),
    "a thread": ({"thread": {"type": "create"}}, "thread"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_understood_is_refused_by_its_place(name: str) -> None:
    fields, place = REFUSED[name]
    with pytest.raises(BadRequest) as caught:
        _settings(**fields)
    assert caught.value.param == place


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_the_new_version_knows_no_sampling(name: str) -> None:
    _settings(OLD, **{name: 1})
    with pytest.raises(BadRequest):
        _settings(NEW, **{name: 1})


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(BadRequest, match="anthropic-version"):
        decode(msgspec.json.encode(ASK), "1999-01-01")


@pytest.mark.parametrize("name", ["model", "messages"])
def test_counting_needs_no_limit_but_the_rest(name: str) -> None:
    body = {key: value for key, value in ASK.items() if key != "max_tokens"}
    assert decode_count(msgspec.json.encode(body), "").model == "m"
    del body[name]
    with pytest.raises(BadRequest):
        decode_count(msgspec.json.encode(body), "")
