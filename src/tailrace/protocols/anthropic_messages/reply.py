"""A run as one Messages document: what the frames of its stream add up to, read as an SDK reads them, without
what a crash cut off."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tailrace.events.history import lasting
from tailrace.events.items import Json
from tailrace.events.types import Event, RunFailed
from tailrace.protocols.anthropic_messages.stream import MessagesEncoder, MessagesStreamOptions
from tailrace.protocols.failures import status
from tailrace.protocols.fields import Object

_SIGN = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],]', re.DOTALL)
"""A string, or a sign outside of one."""
TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def message(run: str, events: Sequence[Event], options: MessagesStreamOptions) -> tuple[bytes, int]:
    """The document of an ended run and its HTTP status; where that is no 200, it is the error body."""
    document: Object = {}
    for frame in MessagesEncoder(run, options).encode(lasting(events)):
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
            block["input"] = _input(delta["partial_json"])
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case "compaction_delta":
            block |= {name: value for name, value in delta.items() if name != "type"}
        case kind:
            block[TEXTS[kind]] += delta[TEXTS[kind]]


def _input(text: str) -> Json:
    """A call's input; of one that a limit cut off the parameters that were whole, which are those that
    Anthropic's servers show."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _whole_parameters(text)


def _whole_parameters(text: str) -> Json:
    """The members of a JSON object that breaks off, as far as a comma came after them."""
    end = depth = 0
    for sign in _SIGN.finditer(text):
        match sign[0]:
            case "{" | "[":
                depth += 1
            case "}" | "]":
                depth -= 1
            case "," if depth == 1:
                end = sign.start()
            case _:
                pass  # a string
    try:
        return msgspec.json.decode(text[:end] + "}")
    except (msgspec.DecodeError, RecursionError):
        return {}
