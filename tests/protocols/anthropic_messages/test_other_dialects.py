"""Requests of clients of other dialects to a Messages server: translated, refused by name, or left out."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import ModelFailed
from tailrace.events import items as i
from tailrace.events import types as t
from tailrace.events.request import ModelRequest, Settings, ToolChoice, ToolSpec
from tailrace.protocols.anthropic_messages import messages
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.offered import OfferedCalls

Object = dict[str, Any]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}
NAMESPACE = {
    "type": "namespace",
    "name": "mcp__x",
    "description": "d",
    "tools": [
        {"type": "function", "name": "f", "description": "F", "parameters": SCHEMA, "strict": True},
        {"type": "custom", "name": "g", "format": GRAMMAR},
        {"type": "web_search"},
        "odd",
    ],
}
FUNCTION = ToolSpec(name="f", description="d", parameters=SCHEMA, origin="responses")
CUSTOM = ToolSpec(kind="custom", name="patch", raw={"format": GRAMMAR}, origin="responses")
SPACE = ToolSpec(kind="provider", name="namespace", raw=NAMESPACE, origin="responses")
HOSTED = ToolSpec(
    kind="provider", name="web_search", raw={"type": "web_search"}, origin="responses"
)


def body(
    *items: i.Item, tools: tuple[ToolSpec, ...] = (), origin: str = "responses", **settings: Any
) -> Object:
    told = Settings(tools=tools, origin=origin, **settings)
    return messages.encode(ModelRequest(items=items, settings=told), "m")


def test_functions_of_namespaces_and_custom_tools_are_offered_as_functions() -> None:
    made = body(tools=(FUNCTION, SPACE, CUSTOM, HOSTED))["tools"]
    assert made[0] == {"name": "f", "description": "d", "input_schema": SCHEMA}
    assert made[1] == {"name": "mcp__x__f", "description": "F", "input_schema": SCHEMA}
    assert [tool["name"] for tool in made] == ["f", "mcp__x__f", "mcp__x__g", "patch"]
    assert "start: /a+/" in made[3]["description"]
    assert b"namespace" not in msgspec.json.encode(made)


def test_tools_added_in_a_conversation_are_offered_each_once() -> None:
    more = [{"type": "function", "name": name, "parameters": SCHEMA} for name in ("f", "late")]
    brought: Object = {"type": "additional_tools", "role": "developer", "tools": [*more, NAMESPACE]}
    item = i.ProviderItem(dialect="responses", data=brought)
    made = body(_says("user", "Hi"), item, item, tools=(FUNCTION,))
    assert [tool["name"] for tool in made["tools"]] == ["f", "late", "mcp__x__f", "mcp__x__g"]
    assert made["tools"][0]["description"] == "d"
    assert _short(made["messages"]) == ["user: Hi"]


def test_what_they_call_is_the_client_s_own_tool() -> None:
    settings = Settings(tools=(SPACE, CUSTOM), origin="responses")
    asked = MessagesCodec().request(ModelRequest(items=(), settings=settings), "m")
    made = OfferedCalls(asked.offered_tools).convert(
        [
            t.ItemStarted(0, "tool_call", name="mcp__x__f", call_id="a"),
            t.ItemStarted(1, "tool_call", name="patch", call_id="b"),
            t.ArgumentsDelta(1, '{"input":'),
            t.ArgumentsDelta(1, '"aaa"}'),
            t.ItemCompleted(1),
        ]
    )
    assert made[0].name == "f"  # type: ignore[union-attr]
    assert made[0].details == {"responses": {"namespace": "mcp__x"}}  # type: ignore[union-attr]
    assert made[1].custom  # type: ignore[union-attr]
    assert made[2] == t.ArgumentsDelta(1, "aaa")


def test_they_go_back_under_the_names_they_were_offered_by() -> None:
    spaced = i.ToolCall(
        call_id="a", name="f", arguments="{}", details={"responses": {"namespace": "mcp__x"}}
    )
    custom = i.ToolCall(call_id="b", name="patch", arguments="aaa", custom=True)
    (said, _) = body(spaced, custom)["messages"]
    assert said["content"] == [
        {"type": "tool_use", "id": "a", "name": "mcp__x__f", "input": {}},
        {"type": "tool_use", "id": "b", "name": "patch", "input": {"input": "aaa"}},
    ]


CHOICES: dict[str, tuple[ToolChoice, list[str], Object | None]] = {
    "one": (
        ToolChoice(mode="required", names=("f",)),
        ["f", "patch"],
        {"type": "tool", "name": "f"},
    ),
    "some": (ToolChoice(names=("f",)), ["f"], None),
    "any of some": (
        ToolChoice(mode="required", names=("f", "patch")),
        ["f", "patch"],
        {"type": "any"},
    ),
    "none": (ToolChoice(mode="none"), ["f", "patch"], {"type": "none"}),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_tool_choice_is_sent_in_the_dialects_form(name: str) -> None:
    choice, offered, wanted = CHOICES[name]
    made = body(tools=(FUNCTION, CUSTOM), tool_choice=choice)
    assert [tool["name"] for tool in made["tools"]] == offered
    assert made.get("tool_choice") == wanted


def test_a_choice_of_a_tool_that_is_not_offered_is_refused_by_name() -> None:
    only = ToolChoice(mode="required", names=("web_search",))
    with pytest.raises(ModelFailed, match="web_search") as caught:
        body(tools=(FUNCTION, HOSTED), tool_choice=only)
    assert (caught.value.status, caught.value.param) == (400, "tool_choice")


def _user(*parts: i.Part) -> i.Message:
    return i.Message(role="user", content=parts)


FILES: dict[str, tuple[i.Part, Object]] = {
    "a PDF by its address": (
        i.FilePart(url="https://a.example/a.pdf", filename="a.pdf"),
        {
            "type": "document",
            "source": {"type": "url", "url": "https://a.example/a.pdf"},
            "title": "a.pdf",
        },
    ),
    "a PDF inside": (
        i.FilePart(data="data:application/pdf;base64,AAAA"),
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
        },
    ),
    "bare base64": (
        i.FilePart(data="AAAA"),
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
        },
    ),
    "a text": (
        i.FilePart(data="data:text/csv;base64,YSxi"),
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}},
    ),
    "a text without base64": (
        i.FilePart(data="data:text/plain,a%20b"),
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a b"}},
    ),
    "a file by its id": (
        i.FilePart(file_id="file_1"),
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    ),
    "a picture by its id": (
        i.ImagePart(file_id="file_1"),
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    ),
    "a picture inside": (
        i.ImagePart(url="data:image/png;name=a.png;base64,AAAA"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_sent_as_the_server_reads_it(name: str) -> None:
    part, block = FILES[name]
    output = i.ToolOutput(call_id="c", output=(part,))
    (turn,) = body(_user(part))["messages"]
    assert turn["content"] == [block]
    (_, turn) = body(i.ToolCall(call_id="c", name="f"), output)["messages"]
    assert turn["content"][0]["content"] == [block]


NO_FORM: dict[str, i.Part] = {
    "a picture of nothing": i.ImagePart(),
    "a file of nothing": i.FilePart(),
    "a spreadsheet": i.FilePart(data="data:application/vnd.ms-excel;base64,AAAA"),
    "a text of no base64": i.FilePart(data="data:text/plain;base64,A"),
    "a data URL without data": i.ImagePart(url="data:image/png"),
}


@pytest.mark.parametrize(("origin", "param"), [("responses", "input"), ("chat", "messages")])
@pytest.mark.parametrize("name", NO_FORM)
def test_what_it_cannot_read_is_refused(name: str, origin: str, param: str) -> None:
    with pytest.raises(ModelFailed) as caught:
        body(_user(NO_FORM[name]), origin=origin)
    assert (caught.value.code, caught.value.status) == ("invalid_prompt", 400)
    assert caught.value.param == param


def _call(id: str, arguments: str = "{}") -> i.ToolCall:
    return i.ToolCall(call_id=id, name="f", arguments=arguments)


def _output(id: str, text: str = "ok") -> i.ToolOutput:
    return i.ToolOutput(call_id=id, output=(i.TextPart(text),))


def _says(role: i.Role, text: str) -> i.Message:
    return i.Message(role=role, content=(i.TextPart(text),))


def _short(turns: list[Object]) -> list[str]:
    """Each message as its role and the types of its blocks."""
    return [f"{turn['role']}: {' '.join(map(_word, turn['content']))}" for turn in turns]


def _word(block: Object) -> str:
    match block["type"]:
        case "tool_use":
            return f"call {block['id']}"
        case "tool_result":
            return f"{block['content'][0]['text']} {block['tool_use_id']}"
        case _:
            return str(block.get("text"))


ORDERS: dict[str, tuple[list[i.Item], list[str]]] = {
    "as it should be": (
        [_says("user", "Hi"), _call("a"), _call("b"), _output("a"), _output("b")],
        ["user: Hi", "assistant: call a call b", "user: ok a ok b"],
    ),
    "results out of order": (
        [_call("a"), _call("b"), _output("b"), _output("a")],
        ["assistant: call a call b", "user: ok a ok b"],
    ),
    "a text between call and result": (
        [_call("a"), _says("assistant", "Wait"), _output("a")],
        ["assistant: call a Wait", "user: ok a"],
    ),
    "a user between call and result": (
        [_call("a"), _says("user", "And?"), _output("a")],
        ["assistant: call a", "user: ok a And?"],
    ),
    "an assistant between them": (
        [_call("a"), _says("user", "?"), _says("assistant", "Hm"), _output("a")],
        ["assistant: call a", "user: ok a ?", "assistant: Hm"],
    ),
    "no result": (
        [_call("a"), _says("user", "Next")],
        ["assistant: call a", "user: No result was given. a Next"],
    ),
    "no result at the end": ([_call("a")], ["assistant: call a", "user: No result was given. a"]),
    "a result before its call": (
        [_output("a"), _call("a")],
        ["assistant: call a", "user: ok a"],
    ),
    "a result without a call": (
        [_says("user", "Hi"), _output("z")],
        ["user: Hi Result of the call z: ok"],
    ),
    "two results of one call": (
        [_call("a"), _output("a"), _output("a", "again")],
        ["assistant: call a", "user: ok a Result of the call a: again"],
    ),
    "ids that come again": (
        [_call("a"), _output("a"), _call("a"), _output("a", "later")],
        ["assistant: call a", "user: ok a", "assistant: call a_2", "user: later a_2"],
    ),
    "ids that the API refuses": (
        [_call("functions.f:0"), _output("functions.f:0"), _call(""), _output("")],
        [
            "assistant: call functions_f_0",
            "user: ok functions_f_0",
            "assistant: call call",
            "user: ok call",
        ],
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_a_conversation_is_made_legal(name: str) -> None:
    items, wanted = ORDERS[name]
    assert _short(body(*items)["messages"]) == wanted


PIECES = st.sampled_from(
    [
        _call("a"),
        _call("b:1"),
        _output("a"),
        _output("b:1"),
        _says("user", "u"),
        _says("assistant", "s"),
    ]
)


@given(items=st.lists(PIECES, max_size=12))
def test_whatever_the_order_each_call_has_its_result_at_once(items: list[i.Item]) -> None:
    turns = body(*items)["messages"]
    roles = [turn["role"] for turn in turns]
    assert all(one != other for one, other in itertools.pairwise(roles))
    ids: list[str] = []
    for turn, after in itertools.pairwise([*turns, {"content": []}]):
        calls = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
        ids += calls
        first = after["content"][: len(calls)]
        assert [block.get("tool_use_id") for block in first] == calls
        rest = [block["type"] for block in after["content"][len(calls) :]]
        assert "tool_result" not in rest
    assert len(set(ids)) == len(ids) == sum(isinstance(item, i.ToolCall) for item in items)
    texts = sum(isinstance(item, i.Message) for item in items)
    assert sum(b.get("text") in ("u", "s") for turn in turns for b in turn["content"]) == texts


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("", {}),
        ('{"a":1}', {"a": 1}),
        ('{"city":"Os', {"arguments": '{"city":"Os'}),
        ("[1]", {"arguments": [1]}),
        ("null", {"arguments": None}),
    ],
)
def test_a_call_s_arguments_are_an_object(said: str, sent: Object) -> None:
    (turn, _) = body(_call("a", said))["messages"]
    assert turn["content"][0]["input"] == sent


def test_thoughts_that_no_such_server_signed_are_left_out() -> None:
    foreign = i.Reasoning(text=("hm",), details={"chat": {"field": "reasoning_content"}})
    assert body(foreign, _says("assistant", "A"))["messages"] == [
        {"role": "assistant", "content": [{"type": "text", "text": "A"}]}
    ]


def test_later_system_messages_belong_to_the_system_prompt() -> None:
    made = body(_says("system", "A"), _says("user", "Hi"), _says("developer", "B"))
    assert made["system"] == "A\n\nB"
    assert _short(made["messages"]) == ["user: Hi"]
