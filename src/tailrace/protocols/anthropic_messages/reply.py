"""A run as one Messages document: the sum of the events of its stream, as an SDK adds them up, without
replies that a crash interrupted."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tailrace.events.history import lasting
from tailrace.events.items import Json
from tailrace.events.types import Event, RunFailed
from tailrace.protocols.anthropic_messages.stream import MessageParts, MessagesStreamOptions
from tailrace.protocols.failures import status
from tailrace.protocols.fields import Object

_SIGN = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],]', re.DOTALL)
"""A string, or a structural character outside of strings."""


def message(run: str, events: Sequence[Event], options: MessagesStreamOptions) -> tuple[bytes, int]:
    """The document of an ended turn and its HTTP status; for a status other than 200 it is the error body."""
    document = MessageDocument()
    MessageParts(run, options, document).read(lasting(events))
    if document.error is not None:
        end = events[-1].payload
        answer = status(end) if isinstance(end, RunFailed) else 500
        return msgspec.json.encode(document.error), answer
    return msgspec.json.encode(document.message), 200


class MessageDocument:
    """`MessageSink`: adds the parts up."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.error: Object | None = None
        self.message: Object = {}
        self._content: list[Json] = []
        self._block: Object = {}
        self._texts: dict[str, list[str]] = {}

    def start_message(self, message: Object) -> None:
        self.message = {**message, "content": self._content}

    def start_block(self, block: Object, extension: Object) -> None:
        self._block, self._texts = dict(block), {}
        self._content.append(self._block)

    def add_text(self, field: str, text: str) -> None:
        self._texts.setdefault(field, []).append(text)

    def add_delta(self, delta: Object) -> None:
        block = self._block
        match delta["type"]:
            case "input_json_delta":
                block["input"] = _input(delta["partial_json"])
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
            case _:  # compaction_delta
                block |= {name: value for name, value in delta.items() if name != "type"}

    def stop_block(self) -> None:
        for field, pieces in self._texts.items():
            self._block[field] += "".join(pieces)

    def end_message(self, delta: Object, usage: Object, beside: Object) -> None:
        usage = {**self.message["usage"], **usage}
        self.message |= {**delta, **beside, "type": "message", "usage": usage}

    def fail(self, error: Object) -> None:
        self.error = error


def _input(text: str) -> Json:
    """A call's input; for a call that a limit cut off, its complete parameters, as Anthropic's servers show
    them."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _whole_parameters(text)


def _whole_parameters(text: str) -> Json:
    """The members of an unfinished JSON object that are followed by a comma."""
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
