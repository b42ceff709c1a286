"""A conversation for chat servers: legal for strict ones, and unchanged where it is legal already."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import ModelFailed
from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
    Message,
    Part,
    ProviderItem,
    Reasoning,
    RefusalPart,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.protocols.openai_chat import messages
from tailrace.protocols.openai_chat.history import NO_RESULT, encode_messages
from tailrace.protocols.openai_chat.rules import OPENAI, Rules

Json = Any
PNG = "data:image/png;base64,iVBORw0KGgo="


def says(text: str, role: Any = "assistant", **fields: Any) -> Message:
    return Message(role=role, content=(TextPart(text),), **fields)


def call(id: str, arguments: str = "{}", **fields: Any) -> ToolCall:
    return ToolCall(call_id=id, name="f", arguments=arguments, **fields)


def output(id: str, *parts: Part | str) -> ToolOutput:
    told = tuple(TextPart(part) if isinstance(part, str) else part for part in parts)
    return ToolOutput(call_id=id, output=told)


def shape(made: list[dict[str, Json]]) -> str:
    """A conversation in short: `a:text(calls)`, `t:id`, `u`, `s`."""
    said: list[str] = []
    for message in made:
        match message["role"]:
            case "assistant":
                calls = ",".join(each["id"] for each in message.get("tool_calls", ()))
                said.append(f"a:{message['content'] or ''}" + (f"({calls})" if calls else ""))
            case "tool":
                said.append(f"t:{message['tool_call_id']}={message['content']}")
            case role:
                said.append(f"{role[0]}:{message['content']}")
    return " ".join(said)


HI = says("hi", "user")
ORDERS: dict[str, tuple[list[Item], str]] = {
    "a text after a call": (
        [HI, call("1"), says("Wait."), output("1", "x")],
        "u:hi a:Wait.(1) t:1=x",
    ),
    "texts around a call": (
        [HI, says("A"), call("1"), says("B"), output("1", "x"), says("C")],
        "u:hi a:AB(1) t:1=x a:C",
    ),
    "a text between results": (
        [HI, call("1"), call("2"), output("1", "x"), says("B"), output("2", "y")],
        "u:hi a:(1,2) t:1=x t:2=y a:B",
    ),
    "a user between call and result": (
        [HI, call("1"), says("so?", "user"), output("1", "x")],
        "u:hi a:(1) t:1=x u:so?",
    ),
    "results out of order": (
        [HI, call("1"), call("2"), output("2", "y"), output("1", "x")],
        "u:hi a:(1,2) t:1=x t:2=y",
    ),
    "a missing result": (
        [HI, call("1"), call("2"), output("2", "y"), says("so?", "user")],
        f"u:hi a:(1,2) t:1={NO_RESULT} t:2=y u:so?",
    ),
    "a result before its call": (
        [HI, output("1", "x"), call("1")],
        f"u:hi u:Result of the call 1: x a:(1) t:1={NO_RESULT}",
    ),
    "a result of nobody": ([HI, output("9", "x")], "u:hi u:Result of the call 9: x"),
    "a second result": (
        [HI, call("1"), output("1", "x"), output("1", "y")],
        "u:hi a:(1) t:1=x u:Result of the call 1: y",
    ),
    "the same id in each turn": (
        [HI, call("1"), output("1", "x"), says("B"), HI, call("1"), output("1", "y")],
        "u:hi a:(1) t:1=x a:B u:hi a:(1) t:1=y",
    ),
    "two calls of one id": (
        [HI, call("1"), call("1"), output("1", "x"), output("1", "y")],
        "u:hi a:(1,1) t:1=x t:1=y",
    ),
    "calls one after the other": (
        [HI, call("1"), output("1", "x"), call("2"), output("2", "y")],
        "u:hi a:(1) t:1=x a:(2) t:2=y",
    ),
    "two messages in a row": ([HI, says("A"), says("B")], "u:hi a:A a:B"),
    "nothing but thoughts": ([HI, Reasoning(text=("Hm",)), HI], "u:hi u:hi"),
    "an empty answer": ([HI, Message(role="assistant"), HI], "u:hi a: u:hi"),
    "another server's item": (
        [HI, ProviderItem(dialect="responses", data={"type": "web_search_call"})],
        "u:hi",
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_a_conversation_is_made_legal(name: str) -> None:
    items, expected = ORDERS[name]
    made = encode_messages(items, "")
    assert shape(made) == expected
    check(made)


ARGUMENTS = [
    ('{"a":1}', '{"a":1}'),
    (' {"a": 1}\n', ' {"a": 1}\n'),
    ("", "{}"),
    ("  ", "{}"),
    ("null", "{}"),
    ('{"city":"Os', '{"arguments":"{\\"city\\":\\"Os"}'),
    ("[1]", '{"arguments":"[1]"}'),
    ('"x"', '{"arguments":"\\"x\\""}'),
    ("rm -rf", '{"arguments":"rm -rf"}'),
    ('{"a":NaN}', '{"arguments":"{\\"a\\":NaN}"}'),
]


@pytest.mark.parametrize(("said", "sent"), ARGUMENTS)
def test_arguments_are_an_object(said: str, sent: str) -> None:
    made = encode_messages([HI, call("1", said)], "")
    assert made[1]["tool_calls"][0]["function"]["arguments"] == sent


def test_a_result_is_text_and_what_it_shows_follows() -> None:
    items: list[Item] = [
        HI,
        call("1"),
        call("2"),
        output("1", "x", ImagePart(PNG)),
        output("2", ImagePart(PNG)),
    ]
    *_, first, second, shown = encode_messages(items, "")
    assert (first["content"], second["content"]) == ("x", "The result is in the next message.")
    assert shown["role"] == "user"
    assert [part["type"] for part in shown["content"]] == ["text", "image_url", "text", "image_url"]


NO_FORM: list[tuple[Part, str]] = [
    (ImagePart(file_id="file_1"), "chat"),
    (FilePart(url="https://x.example/y.pdf"), "chat"),
    (FilePart(file_id="file_1"), "messages"),
    (FilePart(), "chat"),
]


@pytest.mark.parametrize(("part", "origin"), NO_FORM)
def test_what_has_no_form_is_refused(part: Part, origin: str) -> None:
    told: list[list[Item]] = [
        [Message(role="user", content=(part,))],
        [call("1"), output("1", part)],
    ]
    for items in told:
        with pytest.raises(ModelFailed) as caught:
            encode_messages(items, "", OPENAI, origin)
        assert (caught.value.code, caught.value.status) == ("invalid_prompt", 400)
        assert caught.value.param == "messages"


def test_a_file_of_openais_goes_by_its_id() -> None:
    (made,) = encode_messages([Message(role="user", content=(FilePart(file_id="f"),))], "")
    assert made["content"] == [{"type": "file", "file": {"file_id": "f"}}]


SYSTEMS: list[Item] = [says("D", "developer"), HI, says("S", "system")]


def test_openai_gets_systems_and_developers_where_they_stand() -> None:
    assert [m["role"] for m in encode_messages(SYSTEMS, "I")] == [
        "system",
        "developer",
        "user",
        "system",
    ]


def test_other_servers_get_one_system_message_at_the_beginning() -> None:
    made = encode_messages(SYSTEMS, "I", Rules())
    assert made == [{"role": "system", "content": "I\n\nD\n\nS"}, {"role": "user", "content": "hi"}]


def test_each_rule_can_be_chosen() -> None:
    made = encode_messages(SYSTEMS, "", Rules(system_first=False))
    assert [m["role"] for m in made] == ["system", "user", "system"]


ROUND: list[list[dict[str, Json]]] = [
    [
        {
            "role": "system",
            "content": [{"type": "text", "text": "S", "cache_control": {"type": "e"}}],
        },
        {
            "role": "user",
            "content": [{"type": "text", "text": "x", "cache_control": {"type": "e"}}],
        },
    ],
    [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "A", "name": "bob", "prefix": True},
    ],
    [
        {"role": "user", "content": "x", "vendor": {"a": 1}},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "",
            "extra_content": {"google": {"thought_signature": "M"}},
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "f", "arguments": "{}", "vendor": 1},
                    "extra_content": {"google": {"thought_signature": "S"}},
                }
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "1",
            "name": "f",
            "content": [{"type": "text", "text": "y", "cache_control": {"type": "e"}}],
        },
    ],
    [
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "content": "A",
            "reasoning": "Hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "Hm", "signature": "S"}],
        },
        {"role": "user", "content": "y"},
        {"role": "assistant", "content": None, "audio": {"id": "a"}},
        {"role": "user", "content": "z"},
    ],
]


@pytest.mark.parametrize("rules", [OPENAI, Rules()])
@pytest.mark.parametrize("said", ROUND)
def test_a_chat_clients_messages_arrive_unchanged(said: list[Json], rules: Rules) -> None:
    assert encode_messages(messages.decode_messages(said), "", rules) == said


def test_thoughts_go_back_in_the_field_they_came_in() -> None:
    items: list[Item] = [
        HI,
        Reasoning(text=("a",), details={"chat": {"field": "reasoning_content"}}),
        call("1"),
        Reasoning(text=("b",), details={"chat": {"field": "reasoning_content"}}),
        call("2", details={"chat": {"call": {"extra_content": 5}, "message": {"reasoning": ""}}}),
    ]
    made = encode_messages(items, "")[1]
    assert (made["reasoning_content"], made["reasoning"]) == ("ab", "")
    assert made["tool_calls"][1]["extra_content"] == 5


def test_reasoning_of_another_dialect_is_not_sent() -> None:
    thought = Reasoning(text=("secret",), details={"messages": {"signature": "S"}})
    assert b"secret" not in msgspec.json.encode(encode_messages([HI, thought, says("A")], ""))


def test_mistral_gets_its_thoughts_in_the_content() -> None:
    thought = Reasoning(text=("Hm",), details={"chat": {"field": "thinking"}})
    made = encode_messages([HI, thought, says("A")], "")[1]
    assert made["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "text", "text": "A"},
    ]


def check(made: list[dict[str, Json]]) -> None:
    """The rules of strict servers for a conversation."""
    waiting: list[str] = []
    for message in made:
        role = message["role"]
        if role == "tool":
            assert message["tool_call_id"] == waiting.pop(0), "in the order of the calls, at once"
            assert isinstance(message["content"], str)
            continue
        assert not waiting, "every call has its result before anything else"
        if role == "assistant":
            calls = message.get("tool_calls", [])
            waiting = [each["id"] for each in calls]
            for each in calls:
                assert isinstance(json.loads(each["function"]["arguments"]), dict)
            refusal = message.get("refusal")
            assert message["content"] is not None or calls or refusal
        else:
            assert message["content"] is not None
    assert not waiting


TEXTS = st.sampled_from(["", "a", "{}", '{"a":1}', "null", "{"])
IDS = st.sampled_from(["1", "2", "3"])
PARTS = st.one_of(
    st.builds(TextPart, TEXTS),
    st.builds(RefusalPart, TEXTS),
    st.just(ImagePart(PNG)),
    st.just(FilePart(data="data:application/pdf;base64,AA")),
    st.just(AudioPart("AA", "wav")),
)
CONTENT = st.lists(PARTS, max_size=3).map(tuple)
ITEMS = st.lists(
    st.one_of(
        st.builds(Message, role=st.sampled_from(["system", "developer", "user"]), content=CONTENT),
        st.builds(Message, role=st.just("assistant"), content=CONTENT),
        st.builds(
            Reasoning,
            text=st.just(("Hm",)),
            details=st.sampled_from([{}, {"chat": {"field": "reasoning"}}]),
        ),
        st.builds(ToolCall, call_id=IDS, name=st.just("f"), arguments=TEXTS, custom=st.booleans()),
        st.builds(ToolOutput, call_id=IDS, output=CONTENT),
    ),
    max_size=12,
)


@given(items=ITEMS)
def test_any_conversation_is_made_legal(items: list[Item]) -> None:
    made = encode_messages(items, "", Rules())
    check(made)
    assert [m["role"] for m in made].count("system") <= 1
    assert all(m["role"] != "system" for m in made[1:])
    told = msgspec.json.encode(made)
    calls = sum(isinstance(item, ToolCall) for item in items)
    assert sum(len(m.get("tool_calls", ())) for m in made) == calls
    outputs = sum(isinstance(item, ToolOutput) for item in items)
    results = [m for m in made if m["role"] == "tool" and m["content"] != NO_RESULT]
    assert len(results) + told.count(b"Result of the call") == outputs
