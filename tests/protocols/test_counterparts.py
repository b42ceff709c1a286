"""Items that only Responses clients send and every server can receive: messages between the client's
agents, and the search for tools that the client runs. The forms are those of Codex 0.171."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import types as t
from tailrace.events.items import ProviderItem
from tailrace.events.request import ModelRequest, RunRequest
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.offered import OfferedCalls, OfferedTools
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses import reply, request
from tailrace.protocols.openai_responses.stream import ResponsesStreamOptions
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tests.support.logs import RUN, log

Object = dict[str, Any]
FOREIGN: dict[str, UpstreamCodec] = {"chat": ChatCodec(), "messages": MessagesCodec()}
PARAMETERS = {"type": "object", "properties": {"query": {"type": "string"}}}
SEARCH = {
    "type": "tool_search",
    "execution": "client",
    "description": "Finds tools.",
    "parameters": PARAMETERS,
}
ASKED = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]}
TASK = {
    "type": "agent_message",
    "author": "/root",
    "recipient": "/root/below",
    "content": [
        {"type": "input_text", "text": "Payload:\n"},
        {"type": "encrypted_content", "encrypted_content": "Run it."},
    ],
}
CALL = {
    "type": "tool_search_call",
    "call_id": "s1",
    "execution": "client",
    "status": "completed",
    "arguments": {"query": "spawn"},
}
SPAWN = {"type": "function", "name": "spawn_agent", "parameters": PARAMETERS}
FOUND = {
    "type": "tool_search_output",
    "call_id": "s1",
    "execution": "client",
    "status": "completed",
    "tools": [{"type": "namespace", "name": "agents", "description": "", "tools": [SPAWN]}],
}


def asked(*items: Object, tools: list[Object]) -> RunRequest:
    body = {"model": "m", "input": [ASKED, *items], "tools": tools}
    return request.decode(json.dumps(body).encode()).request


def sent(codec: UpstreamCodec, made: RunRequest) -> tuple[Object, dict[str, OfferedTools]]:
    http = codec.request(ModelRequest(items=made.input, settings=made.settings), "m")
    return json.loads(http.body), dict(http.offered_tools)


def texts(message: Object) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content)


@pytest.mark.parametrize("dialect", FOREIGN)
def test_a_message_between_agents_is_a_users(dialect: str) -> None:
    body, _ = sent(FOREIGN[dialect], asked(TASK, tools=[]))
    assert {message["role"] for message in body["messages"]} == {"user"}
    assert "".join(map(texts, body["messages"])) == "Go.Payload:\nRun it."


@given(st.lists(st.sampled_from([TASK, CALL, FOUND, {**FOUND, "call_id": None}])))
def test_a_responses_server_gets_them_unchanged(items: list[Object]) -> None:
    body, offered = sent(ResponsesCodec(), asked(*items, tools=[SEARCH]))
    assert body["input"] == [ASKED, *items]
    assert body["tools"] == [SEARCH]
    assert "tool_search" not in offered


def functions(body: Object) -> dict[str, Any]:
    tools = [tool.get("function", tool) for tool in body["tools"]]
    return {tool["name"]: tool.get("parameters", tool.get("input_schema")) for tool in tools}


@pytest.mark.parametrize("dialect", FOREIGN)
def test_the_clients_search_is_offered_as_a_function(dialect: str) -> None:
    body, offered = sent(FOREIGN[dialect], asked(tools=[SEARCH]))
    assert functions(body) == {"tool_search": PARAMETERS}
    assert offered == {"tool_search": OfferedTools("tool_search", search=True)}


@pytest.mark.parametrize("dialect", FOREIGN)
def test_a_search_that_a_provider_runs_is_not(dialect: str) -> None:
    body, offered = sent(FOREIGN[dialect], asked(tools=[{"type": "tool_search"}]))
    assert ("tools" in body, offered) == (False, {})


def test_a_search_is_a_call_with_its_result_to_chat_servers() -> None:
    body, _ = sent(FOREIGN["chat"], asked(CALL, FOUND, tools=[SEARCH]))
    _, spoken, result = body["messages"]
    (call,) = spoken["tool_calls"]
    assert call["function"] == {"name": "tool_search", "arguments": '{"query":"spawn"}'}
    assert (result["role"], result["tool_call_id"]) == ("tool", call["id"])
    assert "agents__spawn_agent" in result["content"]
    assert set(functions(body)) == {"tool_search", "agents__spawn_agent"}


def test_a_search_is_a_call_with_its_result_to_messages_servers() -> None:
    body, _ = sent(FOREIGN["messages"], asked(CALL, FOUND, tools=[SEARCH]))
    _, spoken, heard = body["messages"]
    (call,), (result,) = spoken["content"], heard["content"]
    assert (call["type"], call["name"], call["input"]) == (
        "tool_use",
        "tool_search",
        {"query": "spawn"},
    )
    assert (result["type"], result["tool_use_id"]) == ("tool_result", call["id"])
    assert "agents__spawn_agent" in texts(result)
    assert set(functions(body)) == {"tool_search", "agents__spawn_agent"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (['{"query":', '"spawn"}'], {"query": "spawn"}),
        (["spawn"], {"query": "spawn"}),
        ([], {}),
    ],
)
def test_what_the_model_searches_is_a_search_of_the_clients(
    arguments: list[str], told: Object
) -> None:
    calls = OfferedCalls({"tool_search": OfferedTools("tool_search", search=True)})
    payloads: list[t.Payload] = [t.ItemStarted(0, "tool_call", name="tool_search", call_id="s1")]
    payloads += [t.ArgumentsDelta(0, piece) for piece in arguments]
    shown = calls.convert([*payloads, t.ItemCompleted(0)])
    events = log([*shown, t.Usage("m")], end=t.RunCompleted())
    (item,) = json.loads(reply.response(RUN, events, ResponsesStreamOptions()))["output"]
    assert item["id"].startswith("tsc_")
    assert {name: value for name, value in item.items() if name != "id"} == {
        **CALL,
        "arguments": told,
    }


def test_a_search_that_was_cut_off_is_incomplete() -> None:
    calls = OfferedCalls({"tool_search": OfferedTools("tool_search", search=True)})
    started = t.ItemStarted(0, "tool_call", name="tool_search", call_id="s1")
    *_, done = calls.convert([started, t.ItemCompleted(0, "incomplete")])
    assert isinstance(done, t.ItemCompleted)
    assert isinstance(done.content, ProviderItem)
    assert (done.status, done.content.data["status"]) == ("incomplete", "incomplete")
