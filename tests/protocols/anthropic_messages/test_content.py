"""Conversion of a client's messages into items and back: `content.py` reads the output of `messages.py`."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from tailrace.errors import BadRequest
from tailrace.events import items as i
from tailrace.events.request import ModelRequest
from tailrace.protocols.anthropic_messages import messages
from tailrace.protocols.anthropic_messages.content import decode_messages, decode_system
from tests.support import legal_requests

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PAGE = {"type": "document", "source": {"type": "url", "url": "http://127.0.0.1/a.pdf"}}
FOUND = {
    "type": "search_result",
    "source": "s",
    "title": "t",
    "content": [{"type": "text", "text": "It is."}, {"type": "text", "text": "It was."}],
}
PLAIN = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}}
CACHE = {"type": "ephemeral"}
SIGNED = {"messages": {"signature": "sig"}}

BLOCKS: dict[str, tuple[str, dict[str, Any], i.Item]] = {
    "text": (
        "user",
        {"type": "text", "text": "Hi"},
        i.Message(role="user", content=(i.TextPart("Hi"),)),
    ),
    "a mark of the cache": (
        "user",
        {"type": "text", "text": "Hi", "cache_control": CACHE},
        i.Message(
            role="user",
            content=(i.TextPart("Hi"),),
            details={"messages": {"blocks": {"0": {"cache_control": CACHE}}}},
        ),
    ),
    "image": (
        "user",
        IMAGE,
        i.Message(role="user", content=(i.ImagePart(url="data:image/png;base64,AAAA"),)),
    ),
    "image of the files API": (
        "user",
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        i.Message(role="user", content=(i.ImagePart(file_id="file_1"),)),
    ),
    "document": (
        "user",
        {**PAGE, "title": "A"},
        i.Message(role="user", content=(i.FilePart(url="http://127.0.0.1/a.pdf", filename="A"),)),
    ),
    "plain document": (
        "user",
        PLAIN,
        i.Message(
            role="user",
            content=(i.TextPart("Hi"),),
            details={"messages": {"blocks": {"0": PLAIN}}},
        ),
    ),
    "search result": (
        "user",
        FOUND,
        i.Message(
            role="user",
            content=(i.TextPart("t\ns\n\nIt is.\nIt was."),),
            details={"messages": {"blocks": {"0": FOUND}}},
        ),
    ),
    "thinking": (
        "assistant",
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        i.Reasoning(text=("hm",), details=SIGNED),
    ),
    "redacted thinking": (
        "assistant",
        {"type": "redacted_thinking", "data": "xx"},
        i.Reasoning(details={"messages": {"data": "xx"}}),
    ),
    "call": (
        "assistant",
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
        i.ToolCall(call_id="c", name="f", arguments='{"a":1}'),
    ),
    "call that ran on a server": (
        "assistant",
        {"type": "mcp_tool_use", "id": "c", "name": "f", "input": {}, "server_name": "s"},
        i.ToolCall(
            call_id="c",
            name="f",
            arguments="{}",
            details={"messages": {"block": {"type": "mcp_tool_use", "server_name": "s"}}},
        ),
    ),
    "result": (
        "user",
        {"type": "tool_result", "tool_use_id": "c", "content": "ok", "is_error": True},
        i.ToolOutput(call_id="c", output=(i.TextPart("ok"),), is_error=True),
    ),
    "result without content": (
        "user",
        {"type": "tool_result", "tool_use_id": "c"},
        i.ToolOutput(call_id="c"),
    ),
    "result of what ran on a server": (
        "assistant",
        {
            "type": "mcp_tool_result",
            "tool_use_id": "c",
            "content": [{"type": "text", "text": "ok"}],
        },
        i.ToolOutput(
            call_id="c",
            output=(i.TextPart("ok"),),
            details={"messages": {"role": "assistant", "block": {"type": "mcp_tool_result"}}},
        ),
    ),
    "what is yet to come": (
        "user",
        {"type": "song"},
        i.ProviderItem(dialect="messages", data={"type": "song"}, role="user"),
    ),
    "what the provider ran": (
        "assistant",
        {"type": "web_search_tool_result", "tool_use_id": "c", "content": []},
        i.ProviderItem(
            dialect="messages",
            data={"type": "web_search_tool_result", "tool_use_id": "c", "content": []},
        ),
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_an_item(name: str) -> None:
    role, block, item = BLOCKS[name]
    assert decode_messages([{"role": role, "content": [block]}]) == (item,)


def test_blocks_keep_their_order() -> None:
    said = {"type": "text", "text": "Look:"}
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    found = decode_messages([{"role": "assistant", "content": [said, IMAGE, call, said]}])
    assert [type(item) for item in found] == [i.Message, i.ToolCall, i.Message]
    assert isinstance(found[0], i.Message)
    assert len(found[0].content) == 2


REFUSED: dict[str, tuple[Any, str]] = {
    "no list": ("x", "messages"),
    "empty": ([], "messages"),
    "no object": ([1], "messages.0"),
    "no role": ([{"content": "x"}], "messages.0.role"),
    "an odd role": ([{"role": ["user"], "content": "x"}], "messages.0.role"),
    "no content": ([{"role": "user"}], "messages.0.content"),
    "no block": ([{"role": "user", "content": [1]}], "messages.0.content.0"),
    "a block without type": ([{"role": "user", "content": [{}]}], "messages.0.content.0.type"),
    "an unknown source": (
        [{"role": "user", "content": [{"type": "image", "source": {"type": "air"}}]}],
        "messages.0.content.0.source.type",
    ),
    "a call without input": (
        [{"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f"}]}],
        "messages.0.content.0.input",
    ),
    "a result of odd blocks": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c", "content": [{"type": None}]}
                ],
            }
        ],
        "messages.0.content.0.content.0.type",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_message_is_refused_by_its_position(name: str) -> None:
    value, place = REFUSED[name]
    with pytest.raises(BadRequest) as caught:
        decode_messages(value)
    assert caught.value.param == place
    assert place in caught.value.message


def test_the_system_prompt_is_a_string_or_texts() -> None:
    assert decode_system(None) == ("", [])
    assert decode_system("Be kind.") == ("Be kind.", [])
    both = [{"type": "text", "text": t} for t in ("A", "B")]
    assert decode_system(both) == ("A\n\nB", both)
    marked: list[Any] = [{"type": "text", "text": "A", "cache_control": CACHE}]
    assert decode_system(marked) == ("A", marked)
    with pytest.raises(BadRequest):
        decode_system([IMAGE])


@given(items=legal_requests.items())
def test_what_we_send_to_a_model_server_we_would_understand(items: tuple[i.Item, ...]) -> None:
    """`decode(encode(items))`, as far as the dialect can express the items."""
    body = messages.encode(ModelRequest(items=items), "m")
    turns = msgspec.json.decode(msgspec.json.encode(body["messages"]))
    found = decode_messages(turns) if turns else ()

    def words(all: tuple[i.Item, ...]) -> list[str]:
        return [
            i.text_of(item.content) if isinstance(item, i.Message) else item.name
            for item in all
            if isinstance(item, i.Message | i.ToolCall)
        ]

    calls = sum(isinstance(item, i.ToolCall) for item in items)
    told = "Result of the call c1:ok" * (len(_outputs(items)) - calls)  # results without a call
    assert sorted("".join(words(found))) == sorted("".join(words(items)) + told)
    assert len(_outputs(found)) == calls
    assert len({item.call_id for item in _outputs(found)}) == len(_outputs(found))


def _outputs(items: tuple[i.Item, ...]) -> list[i.ToolOutput]:
    return [item for item in items if isinstance(item, i.ToolOutput)]
