"""Tools of other dialects for chat servers, and the conversion of their calls back into the client's form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Message, ProviderItem, TextPart, ToolCall
from tailrace.events.request import ModelRequest, Settings, ToolChoice, ToolSpec
from tailrace.events.tools import ToolDeclaration, run_by_client
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.offered import Names, OfferedCalls, OfferedTools
from tailrace.protocols.openai_chat import request, tools
from tailrace.protocols.openai_chat.rules import OPENAI, Rules
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses.upstream import ResponsesCodec

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
    return {**body, "offered": made.offered_tools}


def test_codexs_tools_are_offered_as_functions() -> None:
    body = asked(Rules())
    assert [tool["type"] for tool in body["tools"]] == ["function"] * 4
    names = [tool["function"]["name"] for tool in body["tools"]]
    assert names == ["apply_patch", "mcp__x__f", "mcp__x__patch", "shell"]
    assert body["offered"] == {
        "apply_patch": OfferedTools("apply_patch", custom=True),
        "mcp__x__f": OfferedTools("f", "mcp__x"),
        "mcp__x__patch": OfferedTools("patch", "mcp__x", custom=True),
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
    among = asked(OPENAI, ToolChoice(names=("mcp__x", "web_search")))["tool_choice"]
    assert among["allowed_tools"] == {
        "mode": "auto",
        "tools": [
            {"type": "function", "function": {"name": "mcp__x__f"}},
            {"type": "custom", "custom": {"name": "mcp__x__patch"}},
        ],
    }


def test_a_choice_of_a_tool_that_is_not_offered_is_refused() -> None:
    with pytest.raises(ModelFailed, match="'web_search'") as caught:
        asked(Rules(), ToolChoice(mode="required", names=("web_search",)))
    assert (caught.value.param, caught.value.status) == ("tool_choice", 400)


def test_a_chat_clients_tools_arrive_unchanged() -> None:
    said = [
        {"type": "builtin_function", "function": {"name": "$web_search"}},
        {
            "type": "function",
            "function": {"name": "f", "parameters": {}, "vendor": 1},
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "custom", "custom": {"name": "p", "format": {"type": "text"}}, "vendor": 2},
    ]
    settings = Settings(tools=tools.decode_tools(said), origin="chat")
    body = json.loads(
        ChatCodec(OPENAI).request(ModelRequest(items=(), settings=settings), "m").body
    )
    assert body["tools"] == said


def test_calls_are_the_clients_own_again() -> None:
    calls = OfferedCalls(
        {"p": OfferedTools("patch", custom=True), "ns__f": OfferedTools("f", "ns")}
    )
    batches: list[list[t.Payload]] = [
        [t.ItemStarted(0, "tool_call", name="p"), t.ArgumentsDelta(0, '{"input":"a')],
        [t.ItemStarted(1, "tool_call", name="ns__f"), t.ArgumentsDelta(1, "{}")],
        [t.ArgumentsDelta(0, '\\nb"}'), t.ItemCompleted(1), t.ItemCompleted(0)],
        [t.ItemStarted(2, "tool_call", name="g"), t.ArgumentsDelta(2, "{}")],
    ]
    made = [payload for batch in batches for payload in calls.convert(batch)]
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
    calls = OfferedCalls({"p": OfferedTools("p", custom=True)})
    batch: list[t.Payload] = [
        t.ItemStarted(0, "tool_call", name="p"),
        t.ArgumentsDelta(0, arguments),
        t.ItemCompleted(0),
    ]
    said = [p.text for p in calls.convert(batch) if isinstance(p, t.ArgumentsDelta)]
    assert "".join(said) == text


# choices among some tools


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {}}}


def by_chat(rules: Rules, tool_choice: Any, **more: Any) -> dict[str, Any]:
    """The request to a chat server, from a Chat client."""
    fields = {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [function("f"), function("g"), function("h")],
        "tool_choice": tool_choice,
        **more,
    }
    made = request.decode(json.dumps(fields).encode()).request
    asked = ModelRequest(items=made.input, settings=made.settings)
    body: dict[str, Any] = json.loads(ChatCodec(rules).request(asked, "m").body)
    return body


def some(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


@pytest.mark.parametrize("mode", ["auto", "required"])
@pytest.mark.parametrize("names", [("f",), ("g", "f"), ("f", "g", "h")])
def test_a_choice_among_some_tools_reaches_a_server_with_that_form_unchanged(
    mode: str, names: tuple[str, ...]
) -> None:
    body = by_chat(OPENAI, {**some(mode, *names), "novel": 1})
    assert body["tool_choice"] == {**some(mode, *names), "novel": 1}
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f", "g", "h"]


@pytest.mark.parametrize("names", [("f",), ("g", "f"), ("f", "g", "h")])
def test_other_servers_are_offered_only_these(names: tuple[str, ...]) -> None:
    auto, must = (by_chat(Rules(), some(mode, *names)) for mode in ("auto", "required"))
    told = [tool["function"]["name"] for tool in auto["tools"]]
    assert told == sorted(names)
    assert "tool_choice" not in auto
    if len(names) == 1:
        assert must["tool_choice"] == {"type": "function", "function": {"name": names[0]}}
    else:
        assert [tool["function"]["name"] for tool in must["tools"]] == sorted(names)
        assert must["tool_choice"] == "required"


def test_none_of_the_tools_is_none_offered_and_demanded_is_refused() -> None:
    body = by_chat(Rules(), some("auto", "nobody"), parallel_tool_calls=True)
    assert not body.keys() & {"tools", "tool_choice", "parallel_tool_calls"}
    with pytest.raises(ModelFailed, match="'nobody'"):
        by_chat(Rules(), some("required", "nobody"))


# names

ODD = ("a.b", "a b", "a_b", "ünï", "x" * 65, "x" * 66, "n__f", "f", "$web_search")
KEYS = st.tuples(
    st.sampled_from(("", "n", "n.s", "m" * 40)), st.sampled_from(ODD) | st.text(min_size=1)
)
CODECS: dict[str, UpstreamCodec] = {
    "chat": ChatCodec(Rules()),
    "responses": ResponsesCodec(),
    "messages": MessagesCodec(),
}
LEGAL = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def spec(namespace: str, name: str, *, custom: bool = False) -> ToolSpec:
    kind: Any = "custom" if custom else "function"
    if not namespace:
        return ToolSpec(kind=kind, name=name, parameters={"type": "object"})
    inner = {"type": kind, "name": name, "parameters": {"type": "object"}}
    raw = {"type": "namespace", "name": namespace, "tools": [inner]}
    return ToolSpec(kind="provider", name="namespace", raw=raw, origin="responses")


@given(keys=st.lists(KEYS, unique=True, max_size=8))
def test_names_are_legal_differ_and_lead_back(keys: list[tuple[str, str]]) -> None:
    found = [ToolDeclaration(ToolSpec(name=name), namespace) for namespace, name in keys]
    names = Names(found, "chat", "responses")
    made = [names.of(*tool.key) for tool in found]
    assert all(LEGAL.fullmatch(name) for name in made)
    assert len(set(made)) == len(keys)
    for tool, name in zip(found, made, strict=True):
        stands = names.stands_for(tool, as_function=False) or OfferedTools(name)
        assert (stands.namespace, stands.name) == tool.key


def test_a_function_that_is_called_like_a_namespaces_is_another() -> None:
    found = [ToolDeclaration(ToolSpec(name="n__f")), ToolDeclaration(ToolSpec(name="f"), "n")]
    names = Names(found, "chat", "responses")
    assert names.of("", "n__f") == "n__f"
    assert names.of("n", "f") != "n__f"


@given(key=KEYS, others=st.lists(KEYS, max_size=4))
def test_a_name_does_not_hang_on_the_others(
    key: tuple[str, str], others: list[tuple[str, str]]
) -> None:
    """A conversation may name tools that are no longer offered."""
    alone = Names([], "chat", "responses").of(*key)
    rest = [ToolDeclaration(ToolSpec(name=name), ns) for ns, name in others if (ns, name) != key]
    beside = Names([*rest, ToolDeclaration(ToolSpec(name=key[1]), key[0])], "chat", "responses")
    if alone not in {beside.of(*each.key) for each in rest}:
        assert beside.of(*key) == alone


@pytest.mark.parametrize("dialect", CODECS)
@given(key=KEYS, custom=st.booleans())
def test_every_tool_is_called_back_by_its_own_name(
    dialect: str, key: tuple[str, str], custom: bool
) -> None:
    """A server calls an offered tool, and gets the call back under the name that it used."""
    origin = "messages" if dialect == "chat" else "chat"
    if key[0]:
        origin = "responses"
    settings = Settings(tools=(spec(*key, custom=custom),), origin=origin)
    details = {"responses": {"namespace": key[0]}} if key[0] else {}
    arguments = "x" if custom else "{}"
    call = ToolCall(call_id="1", name=key[1], arguments=arguments, custom=custom, details=details)
    made = CODECS[dialect].request(ModelRequest(items=(call,), settings=settings), "m")
    body = json.loads(made.body)
    (back,) = _called(body)
    if dialect == "responses" and key[0]:
        assert (back, body["tools"][0]["tools"][0]["name"]) == (key[1], key[1])
        return
    assert [_name(tool) for tool in body["tools"]] == [back]
    assert LEGAL.fullmatch(back)
    known = custom and dialect == "responses"
    (started,) = OfferedCalls(made.offered_tools).convert(
        [t.ItemStarted(0, "tool_call", name=back, custom=known)]
    )
    assert isinstance(started, t.ItemStarted)
    assert (started.name, started.custom) == (key[1], custom)
    assert started.details == details


def _name(tool: dict[str, Any]) -> str:
    found: str = tool.get("name") or tool[tool["type"]]["name"]
    return found


def _called(body: dict[str, Any]) -> Iterator[str]:
    for item in body.get("input", ()):
        if "call_id" in item and "name" in item:
            yield item["name"]
    for message in body.get("messages", ()):
        for call in message.get("tool_calls", ()):
            yield call[call["type"]]["name"]
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block["type"] == "tool_use":
                yield block["name"]


def test_a_clients_name_goes_to_servers_of_its_dialect_as_it_is() -> None:
    """The server accepts the name or refuses it; no other party can decide that."""
    body = by_chat(Rules(), "auto", tools=[function("files.read")])
    assert body["tools"][0]["function"]["name"] == "files.read"


# tools that are added during a conversation

BROUGHT: list[dict[str, Any]] = [
    {"type": "function", "name": "late", "parameters": {"type": "object"}},
    {"type": "function", "name": "shell", "parameters": {}, "description": "Another."},
    {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "deep"}]},
    {"type": "custom", "name": "patch2"},
    {"type": "web_search"},
]


@pytest.mark.parametrize("kind", ["additional_tools", "tool_search_output"])
@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_they_are_offered_each_once_and_are_the_clients(kind: str, dialect: str) -> None:
    data = {"type": kind, "role": "developer", "call_id": "s", "tools": BROUGHT}
    item = ProviderItem(dialect="responses", data=data)
    settings = Settings(tools=CODEX, origin="responses")
    made = CODECS[dialect].request(ModelRequest(items=(item, item), settings=settings), "m")
    names = [_name(tool) for tool in json.loads(made.body)["tools"]]
    assert names == [
        *("apply_patch", "mcp__x__f", "mcp__x__patch", "shell"),
        *("late", "ns__deep", "patch2"),
    ]
    assert made.offered_tools["ns__deep"] == OfferedTools("deep", "ns")
    assert made.offered_tools["patch2"] == OfferedTools("patch2", custom=True)
    theirs = run_by_client(CODEX, (item,))
    assert {("", "late"), ("ns", "deep"), ("", "patch2"), ("", "shell")} <= theirs
    assert ("", "web_search") not in theirs
