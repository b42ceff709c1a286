"""Tools of other dialects for chat servers, and their calls turned back into the client's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Message, TextPart, ToolCall
from tailrace.events.request import ModelRequest, Settings, ToolChoice, ToolSpec
from tailrace.protocols.offered import Calls, Offered, called
from tailrace.protocols.openai_chat import tools
from tailrace.protocols.openai_chat.rules import OPENAI, Rules
from tailrace.protocols.openai_chat.upstream import ChatCodec

GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
NAMESPACE: dict[str, Any] = {
    "type": "namespace",
    "name": "mcp__x",
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}},
        {"type": "custom", "name": "patch", "format": GRAMMAR},
        {"type": "web_search"},
        5,
    ],
}
CODEX = (
    ToolSpec(kind="custom", name="apply_patch", description="Patches.", raw={"format": GRAMMAR}),
    ToolSpec(kind="provider", name="namespace", raw=NAMESPACE),
    ToolSpec(kind="provider", name="web_search", raw={"type": "web_search"}),
    ToolSpec(name="shell", description="Runs.", parameters={"type": "object"}),
)


def asked(rules: Rules, choice: ToolChoice | None = None) -> dict[str, Any]:
    settings = Settings(tools=CODEX, tool_choice=choice or ToolChoice(), origin="responses")
    items = (
        Message(role="user", content=(TextPart("x"),)),
        ToolCall(
            call_id="1", name="f", arguments="{}", details={"responses": {"namespace": "mcp__x"}}
        ),
        ToolCall(call_id="2", name="apply_patch", arguments="x y", custom=True),
    )
    made = ChatCodec(rules).request(ModelRequest(items=items, settings=settings), "m")
    body: dict[str, Any] = json.loads(made.body)
    return {**body, "offered": made.offered}


def test_codexs_tools_are_offered_as_functions() -> None:
    body = asked(Rules())
    assert [tool["type"] for tool in body["tools"]] == ["function"] * 4
    names = [tool["function"]["name"] for tool in body["tools"]]
    assert names == ["apply_patch", "mcp__x__f", "mcp__x__patch", "shell"]
    assert body["offered"] == {
        "apply_patch": Offered("apply_patch", custom=True),
        "mcp__x__f": Offered("f", "mcp__x"),
        "mcp__x__patch": Offered("patch", "mcp__x", custom=True),
    }
    told = body["tools"][0]["function"]["description"]
    assert told.startswith("Patches.")
    assert "lark grammar:\nstart: /x/" in told
    calls = body["messages"][1]["tool_calls"]
    assert [call["function"] for call in calls] == [
        {"name": "mcp__x__f", "arguments": "{}"},
        {"name": "apply_patch", "arguments": '{"input":"x y"}'},
    ]


def test_openai_gets_custom_tools_in_its_own_form() -> None:
    body = asked(OPENAI)
    assert body["tools"][0] == {
        "type": "custom",
        "custom": {
            "name": "apply_patch",
            "description": "Patches.",
            "format": {
                "type": "grammar",
                "grammar": {"syntax": "lark", "definition": "start: /x/"},
            },
        },
    }
    assert body["messages"][1]["tool_calls"][1] == {
        "id": "2",
        "type": "custom",
        "custom": {"name": "apply_patch", "input": "x y"},
    }


def test_a_choice_is_of_what_is_offered() -> None:
    only = ToolChoice(mode="required", names=("apply_patch",))
    assert asked(Rules(), only)["tool_choice"] == {
        "type": "function",
        "function": {"name": "apply_patch"},
    }
    some = asked(Rules(), ToolChoice(names=("mcp__x", "web_search")))["tool_choice"]
    allowed = some["allowed_tools"]["tools"]
    assert [tool["function"]["name"] for tool in allowed] == ["mcp__x__f", "mcp__x__patch"]


def test_a_choice_of_what_is_not_offered_is_refused() -> None:
    with pytest.raises(ModelFailed, match="'web_search'") as caught:
        asked(Rules(), ToolChoice(mode="required", names=("web_search",)))
    assert (caught.value.param, caught.value.status) == ("tool_choice", 400)


def test_a_chat_clients_tools_arrive_as_they_were_said() -> None:
    said = [
        {"type": "builtin_function", "function": {"name": "$web_search"}},
        {
            "type": "function",
            "function": {"name": "f", "parameters": {}, "vendor": 1},
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "custom", "custom": {"name": "p", "format": {"type": "text"}}, "vendor": 2},
    ]
    assert tools.encode_tools(tools.decode_tools(said), OPENAI) == said


def test_calls_are_the_clients_own_again() -> None:
    calls = Calls({"p": Offered("patch", custom=True), "ns__f": Offered("f", "ns")})
    batches: list[list[t.Payload]] = [
        [t.ItemStarted(0, "tool_call", name="p"), t.ArgumentsDelta(0, '{"input":"a')],
        [t.ItemStarted(1, "tool_call", name="ns__f"), t.ArgumentsDelta(1, "{}")],
        [t.ArgumentsDelta(0, '\\nb"}'), t.ItemCompleted(1), t.ItemCompleted(0)],
        [t.ItemStarted(2, "tool_call", name="g"), t.ArgumentsDelta(2, "{}")],
    ]
    made = [payload for batch in batches for payload in calls.told(batch)]
    assert made == [
        t.ItemStarted(0, "tool_call", name="patch", custom=True),
        t.ItemStarted(1, "tool_call", name="f", details={"responses": {"namespace": "ns"}}),
        t.ArgumentsDelta(1, "{}"),
        t.ItemCompleted(1, details={"responses": {"namespace": "ns"}}),
        t.ArgumentsDelta(0, "a\nb"),
        t.ItemCompleted(0),
        t.ItemStarted(2, "tool_call", name="g"),
        t.ArgumentsDelta(2, "{}"),
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"input":"x"}', "x"), ("*** Begin", "*** Begin"), ('{"other":1}', '{"other":1}'), ("", "")],
)
def test_free_text_is_found_in_what_a_model_made_of_it(arguments: str, text: str) -> None:
    calls = Calls({"p": Offered("p", custom=True)})
    batch: list[t.Payload] = [
        t.ItemStarted(0, "tool_call", name="p"),
        t.ArgumentsDelta(0, arguments),
        t.ItemCompleted(0),
    ]
    said = [p.text for p in calls.told(batch) if isinstance(p, t.ArgumentsDelta)]
    assert "".join(said) == text


def test_long_names_are_short_alike_both_ways_and_differ() -> None:
    def name(of: str) -> str:
        details = {"responses": {"namespace": "n" * 30}}
        return called(ToolCall(call_id="1", name=of, details=details))

    names = {name("f" * 60), name("f" * 61), name("f" * 60)}
    assert len(names) == 2
    assert {len(each) for each in names} == {64}
