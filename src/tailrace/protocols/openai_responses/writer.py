"""The base class of an output item on the Responses stream: its id, its index, its frames.

Deltas are the hot path: a writer renders a template once per content part, so a delta frame costs one JSON
string and one `%`.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import Protocol

from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json


@functools.cache
def opening(kind: str) -> bytes:
    """The beginning of a frame of this type, up to its number."""
    name = kind.encode()
    return b'event: %b\ndata: {"type":"%b","sequence_number":' % (name, name)


def template(kind: str, place: bytes, tail: bytes = b"") -> bytes:
    """The template of a delta frame: complete except for its number and its text."""
    parts = (opening(f"response.{kind}"), b"," + place, tail + b"}\n\n")
    first, second, third = (part.replace(b"%", b"%%") for part in parts)
    return b'%b%%d%b,"delta":%%b%b' % (first, second, third)


class WriterOptions(Protocol):
    @property
    def include(self) -> tuple[str, ...]: ...


class ResponsesEmitter(Protocol):
    """The methods of the encoder that a writer uses."""

    @property
    def options(self) -> WriterOptions: ...

    def emit(self, opening: bytes, *fields: bytes) -> None: ...

    def delta(self, template: bytes, text: str) -> None: ...

    def finish_item(self, output_index: int, item: Object) -> None: ...

    def item_id(self, prefix: str, number: int) -> str: ...

    def approval_id(self, number: int) -> str | None: ...


class ItemWriter(ABC):
    """Base class of an item with an id and an index in `output`."""

    prefix = "item"

    def __init__(self, stream: ResponsesEmitter, start: t.ItemStarted, output_index: int) -> None:
        self.stream = stream
        self.start = start
        self.index = output_index
        self.closed = False
        self.id = self._id()
        self.place = b'"item_id":%b,"output_index":%d' % (_json(self.id), output_index)

    def _id(self) -> str:
        return self.stream.item_id(self.prefix, self.start.item)

    def open(self) -> None:
        """Start the item: emit `output_item.added` with its initial form."""
        self._item("response.output_item.added", self.zero())

    @abstractmethod
    def zero(self) -> Object:
        """The initial form of the item."""

    @abstractmethod
    def take(self, payload: t.Payload) -> None:
        """Encode any other event of this item."""

    def _item(self, kind: str, item: Object) -> None:
        place = b'"output_index":%d,"item":' % self.index
        self.stream.emit(opening(kind), place, _json(item))

    def pause(self) -> None:  # noqa: B027 - most items need not do anything
        """End the item's output in this response, although the item has not ended."""

    def _close(self, item: Object) -> None:
        self.closed = True
        self.stream.finish_item(self.index, item)
        self._item("response.output_item.done", item)

    def _emit(self, kind: str, **fields: Json) -> None:
        rest = (b",", _json(fields)[1:-1]) if fields else ()
        self.stream.emit(opening(f"response.{kind}"), self.place, *rest)

    def _emit_placed(self, kind: str, fields: Object) -> None:
        """Emit an event that identifies its item by the index alone."""
        rest = (b",", _json(fields)[1:-1]) if fields else ()
        self.stream.emit(opening(f"response.{kind}"), b'"output_index":%d' % self.index, *rest)
