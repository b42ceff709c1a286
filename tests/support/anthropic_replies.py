"""Replies of Messages servers, event by event, and the run that results from each."""

from __future__ import annotations

from typing import Any

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.runtimes import node_lifecycle
from tests.support.logs import log

Object = dict[str, Any]

START: Object = {
    "type": "message_start",
    "message": {"id": "msg_up", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}},
}
TEXT: Object = {"type": "text", "text": ""}
THINKING: Object = {"type": "thinking", "thinking": "", "signature": ""}
STOP: Object = {"type": "message_stop"}


def begin(index: Any, block: Object) -> Object:
    return {"type": "content_block_start", "index": index, "content_block": block}


def call(id: str | None) -> Object:
    return {"type": "tool_use", "id": id, "name": "f", "input": {}}


def piece(index: Any, kind: str, value: Any, name: str = "") -> Object:
    delta = {"type": f"{kind}_delta", name or kind: value}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def given_input(index: Any, value: Any) -> Object:
    return piece(index, "input_json", value, "partial_json")


def stop(index: Any) -> Object:
    return {"type": "content_block_stop", "index": index}


def end(reason: str | None, **usage: Any) -> Object:
    counts = {"output_tokens": 3, **usage}
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": counts}


def read(events: list[Object | bytes], *, size: int = 0) -> tuple[RunState, ModelFailed | None]:
    """The run that results from a reply, and the reason of a failure; the reply arrives in pieces of `size`
    bytes."""
    data = b"".join(
        event
        if isinstance(event, bytes)
        else b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), msgspec.json.encode(event))
        for event in events
    )
    decoder = MessagesCodec().decoder("m")
    made: list[t.Payload] = []
    for start in range(0, len(data), size or len(data)):
        made += decoder.feed(data[start : start + (size or len(data))])
    made += decoder.close()
    state = RunState()
    for event in log(list(map(node_lifecycle.CallIds().fill, made))):
        state.apply(event)
    if decoder.failure is None:
        for draft in node_lifecycle.ending(state):
            state.advance(draft, 0)
    return state, decoder.failure
