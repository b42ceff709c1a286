"""The rule: a Messages client's request arrives at a Messages server unchanged, block by block.

`normal` has the permitted changes; each of its lines is a sentence of PROTOCOLS.md.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from anthropic.types.beta import BetaSystemMessageParam, BetaToolUnionParam
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events.request import ModelRequest
from tailrace.protocols.anthropic_messages import messages
from tailrace.protocols.anthropic_messages.request import decode
from tests.support import anthropic_params as params

Object = dict[str, Any]


def arrived(body: Object) -> Object:
    """The request to a Messages server, for the body of a client."""
    request = decode(msgspec.json.encode(body), "2023-06-01").request
    stored = msgspec.json.decode(msgspec.json.encode(request), type=type(request))
    assert stored == request
    asked = ModelRequest(
        items=stored.input, instructions=stored.instructions, settings=stored.settings
    )
    made: Object = messages.encode(asked, body["model"])
    return msgspec.json.decode(msgspec.json.encode(made), type=dict[str, Any])


def normal(sent: list[Object]) -> list[Object]:
    """The messages as they arrive."""
    made: list[Object] = []
    for message in sent:
        told = dict(message)
        if "content" in told:
            told["content"] = [_block(block) for block in _blocks(told["content"])]
        if message["role"] == "system":
            if not told.get("content"):
                told.pop("content", None)
        elif not told["content"]:
            continue  # an empty assistant message is left out
        elif made and made[-1]["role"] == told["role"]:
            made[-1]["content"] += told["content"]  # consecutive messages of one role are one
            continue
        made.append(told)
    return made


def _blocks(content: Any) -> list[Object]:
    """A string is one block of text."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _block(block: Object) -> Object:
    if block["type"] in ("tool_result", "mcp_tool_result") and "content" in block:
        return {**block, "content": _blocks(block["content"])}
    return block


def _body(**fields: Any) -> Object:
    return {"model": "m", "max_tokens": 9, "messages": [USER], **fields}


USER = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(("user", "assistant")),
            "content": st.lists(params.block(), min_size=1, max_size=3) | params.WORDS,
        }
    )
    | params.of(BetaSystemMessageParam),
    min_size=1,
    max_size=4,
)


@given(sent=MESSAGES)
def test_every_block_of_every_message_arrives_as_it_was_sent(sent: list[Object]) -> None:
    assert arrived(_body(messages=sent))["messages"] == normal(sent)


@pytest.mark.parametrize("name", params.BLOCKS)
@given(data=st.data())
def test_so_does_a_block_of_each_type(name: str, data: st.DataObject) -> None:
    role = data.draw(st.sampled_from(("user", "assistant")))
    sent = [USER, {"role": role, "content": [data.draw(params.block(name))]}]
    assert arrived(_body(messages=sent))["messages"] == normal(sent)


@given(tools=st.lists(params.of(BetaToolUnionParam), min_size=1, max_size=3))
def test_every_tool_arrives_as_it_was_sent(tools: list[Object]) -> None:
    assert arrived(_body(tools=tools))["tools"] == tools


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "auto"},
        {"type": "auto", "disable_parallel_tool_use": False},
        {"type": "any", "disable_parallel_tool_use": True},
        {"type": "tool", "name": "f"},
        {"type": "none"},
    ],
    ids=str,
)
def test_the_choice_arrives_as_it_was_sent(choice: Object) -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    assert arrived(_body(tools=tools, tool_choice=choice))["tool_choice"] == choice


FIELDS: dict[str, Any] = {
    "max_tokens": 0,
    "system": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}],
    "temperature": 0.5,
    "top_k": 3,
    "stop_sequences": ["x"],
    "metadata": {"user_id": "u", "novel": 1},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}, "novel": 1}},
    "container": {"id": "container_1", "skills": [{"type": "anthropic", "skill_id": "pdf"}]},
    "context_management": {"edits": [{"type": "compact_20260112"}]},
    "mcp_servers": [{"type": "url", "name": "s", "url": "https://a.example/"}],
    "thinking": {"type": "adaptive", "display": "omitted"},
    "cache_control": {"type": "ephemeral"},
    "service_tier": "auto",
    "speed": "fast",
    "novel": {"a": None},
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_parameter_arrives_as_it_was_sent(name: str) -> None:
    body = _body(**{name: FIELDS[name]})
    assert arrived(body) == {**body, "stream": True}


PASSED_ON: dict[str, Object] = {
    "a block that is yet to come": {"type": "song", "notes": ["a"], "text": "la"},
    "thinking without a word": {"type": "thinking", "thinking": "", "signature": "S"},
    "thinking that nobody signed": {"type": "thinking", "thinking": "hm"},
    "thinking with an empty signature": {"type": "thinking", "thinking": "hm", "signature": ""},
    "an answer of a server's MCP tool": {
        "type": "mcp_tool_result",
        "tool_use_id": "mcptoolu_1",
        "is_error": False,
        "content": [{"type": "text", "text": "ok"}],
    },
    "a result with a block that is yet to come": {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "song", "notes": []}, {"type": "tool_reference", "tool_name": "F"}],
    },
    "a result that says it is no error": {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [],
        "is_error": False,
    },
}


@pytest.mark.parametrize("name", PASSED_ON)
def test_what_only_such_a_server_understands_is_passed_on(name: str) -> None:
    sent = [USER, {"role": "assistant", "content": [PASSED_ON[name]]}]
    if PASSED_ON[name]["type"] == "tool_result":
        sent[1]["role"] = "user"
    assert arrived(_body(messages=sent))["messages"] == normal(sent)


def test_a_system_message_in_the_middle_stays_there() -> None:
    turns: list[Object] = [
        USER,
        {"role": "system", "content": "Agents: x", "clear_at": "next_user_message"},
        {"role": "system", "output_config": {"effort": "low"}},
        {"role": "assistant", "content": "Hello"},
        USER,
    ]
    sent = arrived(_body(messages=turns, system="Be kind."))
    assert sent["messages"] == normal(turns)
    assert sent["system"] == "Be kind."


def test_an_empty_text_is_omitted() -> None:
    """The API refuses it, although its own models send it."""
    empty = {"type": "text", "text": ""}
    turns = [USER, {"role": "assistant", "content": [empty, {"type": "text", "text": "A"}, empty]}]
    assert arrived(_body(messages=turns))["messages"][1]["content"] == [
        {"type": "text", "text": "A"}
    ]
