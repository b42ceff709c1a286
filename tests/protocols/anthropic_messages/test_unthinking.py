"""A Messages server that refuses calls without their thinking gets one more request without thinking, if
the client is of a dialect in which it need not send thinking back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tailrace.errors import ModelFailed
from tailrace.events import items as i
from tailrace.events.request import ModelRequest, Settings
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec

Object = dict[str, Any]
WANTED = ModelFailed("Expected `thinking`, but found `tool_use`.", status=400)
SIGNED = i.Reasoning(text=("hm",), details={"messages": {"signature": "S"}})
ASKED = i.Message(role="user", content=(i.TextPart("Hi"),))


def called(id: str) -> tuple[i.Item, ...]:
    return i.ToolCall(call_id=id, name="f"), i.ToolOutput(call_id=id)


def instead(
    *items: i.Item, refusal: ModelFailed = WANTED, origin: str = "chat", begun: str = ""
) -> Object | None:
    """The request after a refusal."""
    request = ModelRequest(items=(ASKED, *items), settings=Settings(origin=origin), beginning=begun)
    asked = MessagesCodec(prefill=True).request(request, "m")
    body = asked.instead(refusal) if asked.instead is not None else b""
    return msgspec.json.decode(body) if body else None


def test_no_thinking_is_left_where_it_is_off() -> None:
    body = instead(SIGNED, *called("a"), *called("b"))
    assert body is not None
    assert body["thinking"] == {"type": "disabled"}
    said = [block["type"] for turn in body["messages"] for block in turn["content"]]
    assert said == ["text", "tool_use", "tool_result", "tool_use", "tool_result"]


def test_a_message_of_thinking_alone_is_left_out() -> None:
    body = instead(*called("a"), SIGNED, ASKED)
    assert body is not None
    assert all(turn["content"] for turn in body["messages"])


def test_the_beginning_of_a_continued_reply_stays() -> None:
    body = instead(*called("a"), begun="It is")
    assert body is not None
    assert body["messages"][-1] == {"role": "assistant", "content": "It is"}


@pytest.mark.parametrize("origin", ["chat", "responses", ""])
def test_of_any_other_client(origin: str) -> None:
    assert instead(*called("a"), origin=origin) is not None


def test_a_messages_client_receives_the_refusal() -> None:
    """A Messages client knows that it must send thinking back: the server gets exactly what the client
    sends."""
    assert instead(*called("a"), origin="messages") is None


OTHERS = {
    "of something else": ModelFailed("max_tokens: too large", status=400),
    "a failure": ModelFailed("thinking took too long", status=529),
    "without a status": ModelFailed("thinking"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_refusals_stand(name: str) -> None:
    assert instead(*called("a"), refusal=OTHERS[name]) is None


def test_without_calls_it_stands() -> None:
    assert instead() is None
