"""Replies of chat servers for tests: choices in, bytes out, and the results of the decoder and the log."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.item_state import ItemState
from tailrace.events.items import Item, ToolCall
from tailrace.events.state import RunState
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.runtimes.node_lifecycle import CallIds
from tests.support.logs import NODE, TS, request

Json = Any
STOP: Json = {"delta": {}, "finish_reason": "stop"}


class Read(Struct):
    """The result of a reply."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = []
    ids: list[str] = []
    items: list[Item | None] = []
    open: list[ItemState] = []
    usage: t.Usage | None = None
    failure: ModelFailed | None = None


def frames(*chunks: Json, done: bool = True) -> bytes:
    """Choices or whole chunks as a stream."""
    made = [
        chunk if "choices" in chunk else {"choices": [{"index": 0, **chunk}]} for chunk in chunks
    ]
    data = b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in made)
    return data + b"data: [DONE]\n\n" if done else data


def read(data: bytes) -> Read:
    """Decode a reply, and fold it as the log does."""
    decoder = ChatCodec().decoder("m")
    payloads = [*decoder.feed(data), *decoder.close()]
    state, found = RunState(), Read(failure=decoder.failure)
    state.advance(t.Draft(t.RunStarted(request())), TS)
    state.advance(t.Draft(t.NodeStarted("deep_agent", "a"), NODE), TS)
    for payload in map(CallIds().fill, payloads):
        state.advance(t.Draft(payload, NODE), TS)
        if isinstance(payload, t.TextDelta):
            found.text += payload.text
        elif isinstance(payload, t.ReasoningDelta):
            found.reasoning += payload.text
        elif isinstance(payload, t.Usage):
            found.usage = payload
    found.open = list(state.open.values())
    found.items = [item.content for item in state.items]
    made = [item for item in found.items if isinstance(item, ToolCall)]
    found.calls = [(call.name, call.arguments) for call in made]
    found.ids = [call.call_id for call in made]
    assert decoder.done == (decoder.failure is None)
    return found


def tool(*pieces: Json) -> Json:
    """A choice with pieces of tool calls."""
    return {"delta": {"tool_calls": list(pieces)}}


def f(name: str | None = None, arguments: Json = None, **piece: Json) -> Json:
    """A piece of a function call."""
    body = {"name": name, "arguments": arguments}
    return {**piece, "function": {k: v for k, v in body.items() if v is not None}}


OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'
