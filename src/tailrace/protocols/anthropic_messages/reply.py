"""A run as one Messages document: what the frames of its stream add up to, read as an SDK reads them, without
what a crash cut off."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.events.history import lasting
from tailrace.events.types import Event, RunFailed
from tailrace.protocols.anthropic_messages.stream import Encoder, Options
from tailrace.protocols.failures import status
from tailrace.protocols.fields import Object

TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def message(run: str, events: Sequence[Event], options: Options) -> tuple[bytes, int]:
    """The document of an ended run and its HTTP status; where that is no 200, it is the error body."""
    document: Object = {}
    for frame in Encoder(run, options).encode(lasting(events)):
        event: Object = msgspec.json.decode(frame.partition(b"\ndata: ")[2])
        if event["type"] == "error":
            end = events[-1].payload
            return msgspec.json.encode(event), status(end) if isinstance(end, RunFailed) else 500
        _add(document, event)
    return msgspec.json.encode(document), 200


def _add(message: Object, event: Object) -> None:
    match event["type"]:
        case "message_start":
            message |= event["message"]
        case "content_block_start":
            message["content"].append(event["content_block"])
        case "content_block_delta":
            _add_delta(message["content"][-1], event["delta"])
        case "message_delta":
            usage = {**message["usage"], **event.pop("usage")}
            message |= {**event.pop("delta"), **event, "type": "message", "usage": usage}
        case _:
            pass  # content_block_stop and message_stop say nothing new


def _add_delta(block: Object, delta: Object) -> None:
    match delta["type"]:
        case "input_json_delta":
            block["input"] = msgspec.json.decode(delta["partial_json"])
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case "compaction_delta":
            block |= {name: value for name, value in delta.items() if name != "type"}
        case kind:
            block[TEXTS[kind]] += delta[TEXTS[kind]]
