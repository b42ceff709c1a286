"""What other dialects' servers must get back travels through a Messages client, in signatures."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tailrace.events import items as i
from tailrace.events import types as t
from tailrace.protocols.anthropic_messages import reply, stream
from tailrace.protocols.anthropic_messages.content import decode_messages
from tailrace.protocols.anthropic_messages.messages import Turns
from tailrace.protocols.offered import Names
from tests.support.logs import RUN, log

Object = dict[str, Any]
SIGNED = {"chat": {"call": {"extra_content": {"google": {"thought_signature": "sig"}}}}}

THOUGHTS: dict[str, tuple[list[t.Payload], i.Reasoning]] = {
    "of a chat server": (
        [t.ReasoningDelta(0, "hm")],
        i.Reasoning(text=("hm",), details={"chat": {"field": "reasoning_content"}}),
    ),
    "without a word": (
        [],
        i.Reasoning(details={"responses": {"encrypted_content": "gAAA"}}),
    ),
    "a summary": (
        [t.ReasoningSummaryDelta(0, "hm")],
        i.Reasoning(summary=("hm",), details={"responses": {"encrypted_content": "gAAA"}}),
    ),
    "that needs nothing": ([t.ReasoningDelta(0, "hm")], i.Reasoning(text=("hm",))),
}


def given_back(payloads: list[t.Payload]) -> tuple[list[Object], tuple[i.Item, ...]]:
    """What a client is shown, and what it sends back with its next request."""
    events = log([*payloads, t.Usage("m")], end=t.RunCompleted())
    document, status = reply.message(RUN, events, stream.Options())
    assert status == 200
    content = msgspec.json.decode(document)["content"]
    return content, decode_messages([{"role": "assistant", "content": content}])


@pytest.mark.parametrize("name", THOUGHTS)
def test_a_thought_comes_back_whole(name: str) -> None:
    deltas, thought = THOUGHTS[name]
    done = t.ItemCompleted(0, details=thought.details)
    content, items = given_back([t.ItemStarted(0, "reasoning"), *deltas, done])
    assert [block["type"] for block in content] == ["thinking"]
    assert items == (thought,)
    turns = Turns("messages", Names((), "messages", "messages"))
    for item in items:
        turns.add(item)
    assert turns.made == []  # a Messages server would refuse what it did not sign


def test_what_belongs_to_a_call_comes_back_with_it() -> None:
    content, items = given_back(
        [
            t.ItemStarted(0, "tool_call", name="f", call_id="c"),
            t.ArgumentsDelta(0, '{"a":1}'),
            t.ItemCompleted(0, details=SIGNED),
        ]
    )
    assert [block["type"] for block in content] == ["thinking", "tool_use"]
    assert items == (i.ToolCall(call_id="c", name="f", arguments='{"a":1}', details=SIGNED),)


@pytest.mark.parametrize("signature", ["tailrace.", "tailrace.!", "tailrace.e30", "tailrace.W10="])
def test_what_only_looks_like_ours_is_a_signature(signature: str) -> None:
    block = {"type": "thinking", "thinking": "hm", "signature": signature}
    (item,) = decode_messages([{"role": "assistant", "content": [block]}])
    assert item == i.Reasoning(text=("hm",), details={"messages": {"signature": signature}})
