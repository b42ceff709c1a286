"""Reasoning data that servers of other dialects must get back comes back complete from a Chat client."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tailrace.events import items as i
from tailrace.events import types as t
from tailrace.events.request import ModelRequest, Settings
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.openai_chat import reply, stream, thoughts
from tailrace.protocols.openai_chat.messages import decode_messages
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tests.support import strict
from tests.support.logs import RUN, log

Object = dict[str, Any]
ANTHROPIC = {"format": "anthropic-claude-v1"}
OPENAI = {"format": "openai-responses-v1"}

SIGNED = i.Reasoning(text=("hm",), details={"messages": {"signature": "S"}})
REDACTED = i.Reasoning(details={"messages": {"data": "D"}})
SILENT = i.Reasoning(details={"messages": {"signature": "S"}})
SECRET = {"id": "rs_1", "encrypted_content": "E"}
ENCRYPTED = i.Reasoning(summary=("a", "b"), details={"responses": SECRET})
ENTRIES: dict[str, tuple[i.Reasoning, list[Object]]] = {
    "signed": (SIGNED, [{"type": "reasoning.text", "text": "hm", "signature": "S", **ANTHROPIC}]),
    "without a word": (
        SILENT,
        [{"type": "reasoning.text", "text": "", "signature": "S", **ANTHROPIC}],
    ),
    "redacted": (REDACTED, [{"type": "reasoning.encrypted", "data": "D", **ANTHROPIC}]),
    "encrypted": (
        ENCRYPTED,
        [
            {"type": "reasoning.summary", "summary": "a", "id": "rs_1", **OPENAI},
            {"type": "reasoning.summary", "summary": "b", "id": "rs_1", **OPENAI},
            {"type": "reasoning.encrypted", "data": "E", "id": "rs_1", **OPENAI},
        ],
    ),
}
NOTHING: dict[str, i.Reasoning] = {
    "of a chat server": i.Reasoning(text=("hm",), details={"chat": {"field": "reasoning"}}),
    "unsigned": i.Reasoning(text=("hm",), details={"messages": {"type": "thinking"}}),
    "by its id": i.Reasoning(summary=("hm",), details={"responses": {"id": "rs_1"}}),
    "plain": i.Reasoning(text=("hm",)),
}


def thought(number: int, item: i.Reasoning) -> list[t.Payload]:
    """A thought in the form that its server sent."""
    texts = [t.ReasoningDelta(number, said, part) for part, said in enumerate(item.text)]
    summary = [
        t.ReasoningSummaryDelta(number, said, part) for part, said in enumerate(item.summary)
    ]
    done = t.ItemCompleted(number, details=item.details)
    return [t.ItemStarted(number, "reasoning"), *texts, *summary, done]


def call(number: int) -> list[t.Payload]:
    """A call that the client runs."""
    started = t.ItemStarted(number, "tool_call", name="f", call_id=f"c{number}", runs_on="client")
    return [started, t.ArgumentsDelta(number, "{}"), t.ItemCompleted(number)]


def shown(*payloads: t.Payload) -> tuple[Object, Object]:
    """The message of the document, and the message that the official SDK's helper builds from the stream."""
    events = log([*payloads, t.Usage("m", finish="tool_calls")], end=t.RunCompleted())
    document, status = reply.completion(RUN, events, stream.ChatStreamOptions())
    assert status == 200
    state: Any = ChatCompletionStreamState()
    for data in strict.data_of(stream.ChatEncoder(RUN, stream.ChatStreamOptions()).encode(events)):
        state.handle_chunk(ChatCompletionChunk.model_validate_json(data))
    streamed = state.current_completion_snapshot.choices[0].message.model_dump()
    return msgspec.json.decode(document)["choices"][0]["message"], streamed


def numbered(entries: list[Object]) -> list[Object]:
    return [{"index": n, **entry} for n, entry in enumerate(entries)]


@pytest.mark.parametrize("name", ENTRIES)
def test_a_thought_comes_back_whole(name: str) -> None:
    item, entries = ENTRIES[name]
    for message in shown(*thought(0, item), *call(1)):
        assert message["reasoning_details"] == numbered(entries)
        items = decode_messages([message])
        opaque, *theirs = [each for each in items if isinstance(each, i.Reasoning)]
        assert set(opaque.details) == {"chat"}
        assert not opaque.text  # the text is passed on once
        assert theirs == [item]
        assert isinstance(items[-1], i.ToolCall)


def test_thoughts_of_a_reply_stay_apart_and_in_order() -> None:
    document, streamed = shown(*thought(0, SIGNED), *thought(1, REDACTED), *call(2))
    entries = numbered([*ENTRIES["signed"][1], *ENTRIES["redacted"][1]])
    assert document["reasoning_details"] == streamed["reasoning_details"] == entries
    assert decode_messages([document])[1:3] == (SIGNED, REDACTED)


@pytest.mark.parametrize("name", NOTHING)
def test_what_has_no_secret_is_not_shown(name: str) -> None:
    document, streamed = shown(*thought(0, NOTHING[name]), *call(1))
    assert "reasoning_details" not in document
    assert "reasoning_details" not in streamed


def test_only_the_last_reply_s_thoughts_are_shown() -> None:
    """The call after an earlier thought ran here: OpenAI refuses reasoning without the item that followed
    it."""
    ours: list[t.Payload] = [
        t.ItemStarted(1, "tool_call", name="g", call_id="g", runs_on="server"),
        t.ItemCompleted(1),
        t.Usage("m"),
        t.ToolStarted(1),
        t.ToolCompleted(1, "ok"),
    ]
    document, streamed = shown(*thought(0, ENCRYPTED), *ours, *thought(2, SIGNED), *call(3))
    entries = numbered(ENTRIES["signed"][1])
    assert document["reasoning_details"] == streamed["reasoning_details"] == entries


def asked(codec: Any, message: Object) -> Object:
    items = decode_messages([{"role": "user", "content": "Hi"}, message])
    request = ModelRequest(items=items, settings=Settings(origin="chat"))
    body: Object = msgspec.json.decode(codec.request(request, "m").body)
    return body


@pytest.mark.parametrize("name", ENTRIES)
def test_each_server_gets_what_is_its_own(name: str) -> None:
    item, _ = ENTRIES[name]
    message, _ = shown(*thought(0, item), *call(1))
    said = asked(MessagesCodec(), message)["messages"][1]["content"]
    thinking: Object = {
        "signed": {"type": "thinking", "thinking": "hm", "signature": "S"},
        "without a word": {"type": "thinking", "thinking": "", "signature": "S"},
        "redacted": {"type": "redacted_thinking", "data": "D"},
    }.get(name, {})
    assert [block for block in said if block["type"] != "tool_use"] == (
        [thinking] if thinking else []
    )
    told = asked(ResponsesCodec(), message)["input"]
    reasoning = [each for each in told if each["type"] == "reasoning"]
    if name == "encrypted":
        (whole,) = reasoning
        assert [part["text"] for part in whole.pop("summary")] == ["a", "b"]
        assert whole == {"type": "reasoning", **SECRET}
    else:
        assert "S" not in str(reasoning)
        assert "D" not in str(reasoning)


def test_a_chat_server_s_own_details_pass_byte_for_byte() -> None:
    """OpenRouter writes its own in the same form."""
    details = [{"index": 0, "id": None, **entry} for _, made in ENTRIES.values() for entry in made]
    message = {"role": "assistant", "content": "ok", "reasoning_details": details}
    assert asked(ChatCodec(), message)["messages"][1] == message


FORMATS = st.sampled_from([thoughts.OF_MESSAGES, thoughts.OF_RESPONSES, "x", 7])
KINDS = st.sampled_from([thoughts.TEXT, thoughts.SUMMARY, thoughts.ENCRYPTED, None])
ODD = st.none() | st.integers() | st.text() | st.lists(st.text(), max_size=2)
FIELDS = dict.fromkeys(("text", "summary", "signature", "data", "id", "index"), ODD)
ENTRY = st.fixed_dictionaries({}, optional={"type": KINDS, "format": FORMATS, **FIELDS})


@given(st.lists(ENTRY | ODD, max_size=5) | ODD)
def test_whatever_a_client_sends_is_read(details: Any) -> None:
    for item in thoughts.read(details):
        assert all(isinstance(said, str) for said in (*item.text, *item.summary))
        assert msgspec.convert(msgspec.to_builtins(item), i.Reasoning) == item


SECRETS = st.text(min_size=1)
WORDS = st.lists(st.text(min_size=1), max_size=3).map(tuple)
MADE = st.one_of(
    st.builds(
        lambda said, signed: i.Reasoning(text=said, details={"messages": {"signature": signed}}),
        WORDS.map(lambda said: said[:1]),
        SECRETS,
    ),
    st.builds(lambda data: i.Reasoning(details={"messages": {"data": data}}), SECRETS),
    st.builds(
        lambda summary, said, secret: i.Reasoning(
            summary=summary,
            text=said,
            details={"responses": {"id": "rs", "status": "completed", "encrypted_content": secret}},
        ),
        WORDS,
        WORDS,
        SECRETS,
    ),
)


@given(st.lists(MADE, max_size=4))
def test_each_form_of_reasoning_is_read(made: list[i.Reasoning]) -> None:
    entries = [entry for item in made for entry in thoughts.entries_of(item)]
    assert thoughts.read(numbered(entries)) == tuple(made)


@pytest.mark.parametrize("name", ENTRIES)
def test_another_client_of_the_form_gives_it_back(name: str) -> None:
    """pydantic-ai keeps an entry as a part of its own, and writes it again."""
    form: Any = pytest.importorskip("pydantic_ai.models._reasoning_details")
    item, entries = ENTRIES[name]
    kinds = {
        thoughts.TEXT: form.ReasoningText,
        thoughts.SUMMARY: form.ReasoningSummary,
        thoughts.ENCRYPTED: form.ReasoningEncrypted,
    }
    parts = [
        form.from_reasoning_detail(kinds[entry["type"]].model_validate(entry), "tailrace")
        for entry in numbered(entries)
    ]
    assert thoughts.read([form.into_reasoning_detail(part).model_dump() for part in parts]) == (
        item,
    )
