"""Same dialect in and out: the items of a client arrive at a Responses server field by field, in order.

Items are drawn from the SDK's own types (`ResponseInputItemParam`), with unknown fields added. Two forms
are normalised: a message without a type gets its type, and a request of one string becomes one user
message.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import ModelFailed
from tailrace.events import stored
from tailrace.events import types as t
from tailrace.events.request import ModelRequest, RunRequest, ToolSpec
from tailrace.protocols.anthropic_messages import request as messages
from tailrace.protocols.openai_chat import request as chat
from tailrace.protocols.openai_responses import items, request
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tests.support.codex import CODEX
from tests.support.responses_items import DECODED, INPUT
from tests.support.typed import instances

OURS = ("instructions", "model", "stream", "store", "input")


def asked(fields: dict[str, Any]) -> RunRequest:
    return request.decode(json.dumps({"model": "m", "input": "Hi", **fields}).encode()).request


def sent(made: RunRequest, model: str = "gpt-4o") -> dict[str, Any]:
    """The request to a Responses server, after the client's request was in the log."""
    log = [t.Event(0, 0, "", "", t.RunStarted(made))]
    (event,) = stored.decode(stored.frame(log).body)
    assert isinstance(event.payload, t.RunStarted)
    kept = event.payload.request
    model_request = ModelRequest(
        items=kept.input, instructions=kept.instructions, settings=kept.settings
    )
    body: dict[str, Any] = json.loads(ResponsesCodec().request(model_request, model).body)
    return body


def typed(item: dict[str, Any]) -> dict[str, Any]:
    bare = item.get("type") is None and "role" in item
    return {**item, "type": "message"} if bare else item


def test_items_round_trip_unchanged() -> None:
    assert items.decode_input(INPUT) == DECODED
    assert items.encode_items(DECODED) == [typed(item) for item in INPUT]


@given(item=instances("ResponseInputItemParam"), more=st.booleans())
def test_every_item_of_the_sdk_arrives(item: dict[str, Any], more: bool) -> None:
    if item.get("type") == "item_reference" or set(item) <= {"id", "type"}:
        return  # the server receives the item itself
    if more:
        item = {**item, "novel": {"any": [1]}}
    assert sent(asked({"input": [item]}))["input"] == [typed(item)]


@given(tool=instances("ToolParam"), more=st.booleans())
def test_every_tool_of_the_sdk_arrives(tool: dict[str, Any], more: bool) -> None:
    if more:
        tool = {**tool, "novel": True, "defer_loading": True}
    assert sent(asked({"tools": [tool]}))["tools"] == [tool]


@pytest.mark.parametrize("name", ["strict", "parameters", "description"])
def test_absent_fields_of_a_tool_stay_absent(name: str) -> None:
    """OpenAI treats a schema as strict unless the request says otherwise."""
    tool = {"type": "function", "name": "f", "description": "d", "parameters": {}, "strict": True}
    del tool[name]
    assert sent(asked({"tools": [tool]}))["tools"] == [tool]


@given(choice=instances("ToolChoice"))
def test_every_tool_choice_of_the_sdk_arrives(choice: Any) -> None:
    tools = [{"type": "function", "name": "f", "parameters": {}, "strict": False}]
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        choice["tools"] = [{"type": "function", "name": "f"}, {"type": "web_search"}]
    body = sent(asked({"tools": tools, "tool_choice": choice}))
    assert body.get("tool_choice", "auto") == choice


WHOLE: dict[str, Any] = {
    "include": ["web_search_call.action.sources", "reasoning.encrypted_content", "novel"],
    "truncation": "auto",
    "reasoning": {"effort": "high", "summary": "auto", "context": "all", "mode": "novel"},
    "text": {"verbosity": "low", "novel": 1},
    "context_management": [{"type": "compaction", "compact_threshold": 9}],
    "moderation": {"model": "m"},
    "prompt": {"id": "p"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"ttl": "1h"},
    "client_metadata": {"turn_id": "1"},
    "max_output_tokens": 20,
    "max_tool_calls": 3,
    "parallel_tool_calls": False,
    "service_tier": "flex",
    "temperature": 0.5,
    "top_logprobs": 3,
    "top_p": 0.5,
    "user": "u",
}


@given(names=st.sets(st.sampled_from(sorted(WHOLE))))
def test_every_parameter_arrives(names: set[str]) -> None:
    fields = {name: WHOLE[name] for name in names}
    body = sent(asked(fields))
    got = {name: value for name, value in body.items() if name not in OURS}
    if "reasoning" in fields and "include" not in fields:
        assert got.pop("include") == ["reasoning.encrypted_content"]
    assert got == fields


@pytest.mark.parametrize("model", ["gpt-5", "gpt-5.2-codex", "o3-mini", "openai/o4", "gpt-10"])
def test_encrypted_reasoning_is_requested_from_a_reasoning_model(model: str) -> None:
    """The server stores nothing, so it must send its thoughts to get them back."""
    assert sent(asked({}), model)["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1", "gpt-5-chat-latest", "llama", "prod"])
def test_other_models_refuse_a_request_for_encrypted_reasoning(model: str) -> None:
    assert "include" not in sent(asked({}), model)


def test_ids_of_ours_do_not_go_to_a_server() -> None:
    """The server knows the items by other ids, or not at all; a summary alone is not a thought that it can
    continue."""
    ours = "01kabcdefghjkmnpqrstvwxyz9_0"
    given_back = [
        {
            "type": "reasoning",
            "id": f"rs_{ours}",
            "summary": [{"type": "summary_text", "text": "S"}],
        },
        {"type": "reasoning", "id": f"rs_{ours}", "summary": [], "encrypted_content": "gA"},
        {"type": "function_call", "id": f"fc_{ours}", "call_id": "c", "name": "f", "arguments": ""},
        {
            "type": "function_call",
            "id": "agent:MAIN::fc_0",
            "call_id": "d",
            "name": "f",
            "arguments": "",
        },
    ]
    assert sent(asked({"input": given_back}))["input"] == [
        {"type": "reasoning", "summary": [], "encrypted_content": "gA"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""},
        {"type": "function_call", "call_id": "d", "name": "f", "arguments": ""},
    ]


def test_what_codex_sends_arrives() -> None:
    body = sent(asked(CODEX))
    assert body["input"] == CODEX["input"]
    assert body["tools"] == CODEX["tools"]
    for name in ("include", "reasoning", "prompt_cache_key", "client_metadata"):
        assert body[name] == CODEX[name]


# tools of other dialects


def to_server(settings: Any) -> list[dict[str, Any]]:
    made = ModelRequest(items=(), settings=settings)
    tools: list[dict[str, Any]] = json.loads(ResponsesCodec().request(made, "m").body)["tools"]
    return tools


HELLO = {"role": "user", "content": "Hi"}


def from_messages(tool: dict[str, Any]) -> Any:
    body = {"model": "m", "max_tokens": 1, "messages": [HELLO], "tools": [tool]}
    return messages.decode(json.dumps(body).encode(), "2023-06-01").request.settings


def from_chat(tool: dict[str, Any]) -> Any:
    body = {"model": "m", "messages": [HELLO], "tools": [tool]}
    return chat.decode(json.dumps(body).encode()).request.settings


def test_a_search_of_messages_is_a_search() -> None:
    tool = {
        "type": "web_search_20250305",
        "name": "web_search",
        "max_uses": 3,
        "allowed_domains": ["example.org"],
        "user_location": {"type": "approximate", "city": "Oslo"},
    }
    assert to_server(from_messages(tool)) == [
        {
            "type": "web_search",
            "filters": {"allowed_domains": ["example.org"]},
            "user_location": {"type": "approximate", "city": "Oslo"},
        }
    ]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "bash_20250124", "name": "bash"},
        {"type": "code_execution_20250825", "name": "code_execution"},
        {"type": "web_search_20250305", "name": "web_search", "blocked_domains": ["a.org"]},
    ],
)
def test_a_tool_that_no_such_server_has_is_refused_by_name(tool: dict[str, Any]) -> None:
    settings = from_messages(tool)
    with pytest.raises(ModelFailed) as caught:
        to_server(settings)
    assert (caught.value.code, caught.value.status) == ("invalid_prompt", 400)
    assert "tools" in caught.value.param
    assert tool["type"] in caught.value.message or "blocked_domains" in caught.value.message


def test_functions_of_other_dialects_get_what_the_types_require() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    plain = {"type": "function", "name": "f", "parameters": None, "strict": False}
    assert to_server(from_chat(function)) == [plain]
    ours = from_chat(function)
    ours = type(ours)(tools=(ToolSpec(name="f"),), origin="responses")
    assert to_server(ours) == [plain], "a tool of ours beside a client's"


def test_a_grammar_of_chat_is_unwrapped() -> None:
    grammar = {"syntax": "lark", "definition": "start: A"}
    tool = {
        "type": "custom",
        "custom": {"name": "p", "format": {"type": "grammar", "grammar": grammar}},
    }
    assert to_server(from_chat(tool)) == [
        {"type": "custom", "name": "p", "format": {"type": "grammar", **grammar}}
    ]
