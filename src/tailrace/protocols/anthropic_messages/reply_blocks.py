"""The open blocks of a Messages server's reply; each turns its deltas into payloads of its item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import msgspec

from tailrace.events import types as t
from tailrace.events.items import Json, ProviderItem
from tailrace.protocols.anthropic_messages.parts import words
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.fields import Object, any_object
from tailrace.protocols.upstream import NO_ARGUMENTS

Emit = Callable[[t.Payload], None]
WEB = ("https://", "http://")
OF_TEXT = ("type", "text")
OF_THINKING = ("type", "thinking", "signature")
OF_CALL = ("type", "id", "name", "input")
WHOLE_DELTAS = ("compaction_delta",)
"""Deltas that carry the whole value of their fields, as the SDKs read them."""


class StartItem(Protocol):
    """Opens an item and returns its ordinal; `block` are further fields of its block."""

    def __call__(self, kind: t.ItemKind, **fields: object) -> int: ...


class ReplyBlock(Protocol):
    """An open block."""

    def start(self, emit: Emit) -> None:
        """Emit the content of the block's start."""
        ...

    def add(self, delta: Object, emit: Emit) -> None:
        """Emit one delta; a delta of a type that the block does not have is ignored."""
        ...

    def stop(self, emit: Emit) -> None:
        """Complete the block."""
        ...


def begin(open: StartItem, block: Object) -> ReplyBlock:
    """An open block that is an item of its own."""
    match block.get("type"):
        case "thinking" | "redacted_thinking":
            return ThinkingBlock(open, block)
        case "tool_use":
            return ToolUseBlock(open, block)
        case _:
            return ProviderBlock(open, block)


class OpenMessage:
    """A message, whose parts are consecutive text blocks."""

    def __init__(self, item: int) -> None:
        self.item = item
        self.busy = False
        self.block_details: Object = {}
        self.parts = 0
        self._last = False

    def block(self, start: Object) -> ReplyBlock:
        """The next text block of the message."""
        self.busy = True
        return TextBlock(self, start)

    def end(self, emit: Emit) -> None:
        """End the message: no further text follows."""
        self._last = True
        if not self.busy:
            self._finish(emit)

    def on_block_end(self, emit: Emit) -> None:
        """A text block has ended."""
        self.busy = False
        if self._last:
            self._finish(emit)

    def _finish(self, emit: Emit) -> None:
        details: Object = {DIALECT: {"blocks": self.block_details}} if self.block_details else {}
        emit(t.ItemCompleted(self.item, details=details))


class TextBlock:
    """A text block: a part of a message. An empty block is not a part.

    A citation applies to the whole block, so citations are emitted when its text is complete; servers send
    them before it.
    """

    def __init__(self, message: OpenMessage, start: Object) -> None:
        self._message = message
        self._part = message.parts
        self._text = words(start.get("text"))
        self._more = without(start, OF_TEXT)
        self._length = 0
        self._citations = [any_object(each) for each in any_list(self._more.get("citations"))]
        if self._citations:
            self._more["citations"] = []

    def start(self, emit: Emit) -> None:
        self._say(self._text, emit)

    def add(self, delta: Object, emit: Emit) -> None:
        match delta.get("type"):
            case "text_delta":
                self._say(words(delta.get("text")), emit)
            case "citations_delta":
                if citation := any_object(delta.get("citation")):
                    self._citations.append(citation)
            case _:
                pass

    def stop(self, emit: Emit) -> None:
        for citation in self._citations:
            note = _note(citation, self._length)
            emit(
                t.AnnotationAdded(
                    self._message.item, note, part=self._part, details={DIALECT: citation}
                )
            )
        if self._length or self._citations:
            if self._citations:
                self._more["citations"] = self._citations
            if self._more:
                self._message.block_details[str(self._part)] = self._more
            self._message.parts += 1
        self._message.on_block_end(emit)

    def _say(self, text: str, emit: Emit) -> None:
        if not text:
            return
        first = not self._length and self._more
        details: Object = {DIALECT: dict(self._more)} if first else {}
        emit(t.TextDelta(self._message.item, text, part=self._part, details=details))
        self._length += len(text)


class ThinkingBlock:
    """Thinking, open or redacted, with all fields that must be sent back."""

    def __init__(self, open: StartItem, start: Object) -> None:
        self._text = words(start.get("thinking"))
        self._fields = without(start, ("type", "thinking"))
        more = without(start, OF_THINKING) if start.get("type") == "thinking" else {}
        self._item = open("reasoning", block=more)

    def start(self, emit: Emit) -> None:
        self._think(self._text, emit)

    def add(self, delta: Object, emit: Emit) -> None:
        match delta.get("type"):
            case "thinking_delta":
                self._think(words(delta.get("thinking")), emit)
            case "signature_delta":
                before = words(self._fields.get("signature"))
                self._fields["signature"] = before + words(delta.get("signature"))
            case _:
                pass

    def stop(self, emit: Emit) -> None:
        fields = self._fields or {"type": "thinking"}
        emit(t.ItemCompleted(self._item, details={DIALECT: fields}))

    def _think(self, text: str, emit: Emit) -> None:
        if text:
            emit(t.ReasoningDelta(self._item, text))


class ToolUseBlock:
    """A call of a tool that the client runs. Its input streams, or is complete in its start."""

    def __init__(self, open: StartItem, start: Object) -> None:
        self._start = start
        self._has_input = False
        more = without(start, OF_CALL)
        self._details: Object = {DIALECT: {"block": more}} if more else {}
        self._item = open(
            "tool_call",
            name=words(start.get("name")),
            call_id=start.get("id"),
        )

    def start(self, emit: Emit) -> None:
        pass

    def add(self, delta: Object, emit: Emit) -> None:
        if delta.get("type") == "input_json_delta":
            self._say(delta.get("partial_json"), emit)

    def stop(self, emit: Emit) -> None:
        if not self._has_input:
            self._say(self._start.get("input") or NO_ARGUMENTS, emit)
        emit(t.ItemCompleted(self._item, details=self._details))

    def _say(self, arguments: Json, emit: Emit) -> None:
        text = _json_text(arguments)
        if text:
            self._has_input = self._has_input or not text.isspace()
            emit(t.ArgumentsDelta(self._item, text))


class ProviderBlock:
    """A block of the server's own type, stored unchanged. A delta adds to the fields that it names."""

    def __init__(self, open: StartItem, start: Object) -> None:
        self._data = dict(start)
        self._input: list[str] = []
        self._item = open("provider", dialect=DIALECT, data=start)

    def start(self, emit: Emit) -> None:
        pass

    def add(self, delta: Object, emit: Emit) -> None:
        kind = delta.get("type")
        if kind == "input_json_delta":
            self._input.append(_json_text(delta.get("partial_json")))
            return
        for name, value in without(delta, ("type",)).items():
            before = None if kind in WHOLE_DELTAS else self._data.get(name)
            if isinstance(before, str) and isinstance(value, str):
                self._data[name] = before + value
            elif isinstance(before, list) and isinstance(value, list):
                self._data[name] = [*any_list(before), *any_list(value)]
            else:
                self._data[name] = value

    def stop(self, emit: Emit) -> None:
        if text := "".join(self._input):
            try:
                self._data["input"] = msgspec.json.decode(text)
            except (msgspec.MsgspecError, RecursionError):
                self._data["input"] = text
        content = ProviderItem(dialect=DIALECT, data=self._data)
        emit(t.ItemCompleted(self._item, content=content))


def without(fields: Object, names: tuple[str, ...]) -> Object:
    """The other fields, without empty ones."""
    return {
        name: value for name, value in fields.items() if name not in names and value is not None
    }


def any_list(value: Json) -> list[Json]:
    """The value if it is a list, else an empty one."""
    return cast("list[Json]", value) if isinstance(value, list) else []


def _json_text(value: Json) -> str:
    """A value as JSON text, also if a server sends the value itself."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def _note(citation: Object, length: int) -> Object:
    """A citation as an annotation: of a web page by its URL, of a document by its index among those of the
    request."""
    place = citation.get("document_index")
    url = citation.get("url") or citation.get("source")
    if isinstance(url, str) and url.startswith(WEB):
        return {
            "type": "url_citation",
            "url": url,
            "title": words(citation.get("title")),
            "start_index": 0,
            "end_index": length,
        }
    return {
        "type": "file_citation",
        "file_id": words(citation.get("file_id")),
        "filename": words(citation.get("document_title")) or words(citation.get("title")),
        "index": place if isinstance(place, int) else 0,
    }
