"""Where the chunks of a run go: `ChunkSink`, and the frames of a stream.

The encoder decides what a chunk says; a sink renders it. `ChunkFrames` writes it as a server-sent event, the
document of a completion adds it up (`reply.py`), so a document is made of chunks without a parser in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tailrace.events.items import Json
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.data_event import frame
from tailrace.protocols.framing.json_line import encode as _json

DONE = b"data: [DONE]\n\n"


class ChunkSink(Protocol):
    """Takes the chunks of one completion, in order."""

    def set_head(self, fields: Object) -> None:
        """The fields that the following chunks share: `id`, `model`, …"""
        ...

    def set_extension(self, extension: Object) -> None:
        """The fields of a mount that attributes; they stand on the following chunks, but not on the usage."""
        ...

    def add_text(self, field: str, text: str) -> None:
        """A chunk with a piece of text as the only field of its delta."""
        ...

    def add_arguments(self, index: int, text: str) -> None:
        """A chunk with a piece of the arguments of call `index`."""
        ...

    def add(
        self,
        delta: Object,
        logprobs: Sequence[Json] = (),
        finish_reason: str | None = None,
        beside: Object | None = None,
    ) -> None:
        """Any other chunk; `beside` are further fields of its choice."""
        ...

    def add_usage(self, usage: Object) -> None:
        """The chunk without a choice that brings `usage`."""
        ...

    def fail(self, body: Object) -> None:
        """An error body instead of further chunks."""
        ...

    def close(self) -> None:
        """The last chunk was added."""
        ...


class ChunkFrames:
    """`ChunkSink`: chunks as server-sent events. With `include_usage` chunks say `usage: null`, and the usage
    has a chunk of its own."""

    def __init__(self, *, include_usage: bool) -> None:
        self._frames: list[bytes] = []
        self._include_usage = include_usage
        self._head = b""
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._texts: dict[str, bytes] = {}

    def take(self) -> list[bytes]:
        """The frames that were added since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def set_head(self, fields: Object) -> None:
        self._head = b"data: " + _json(fields)[:-1] + b","
        self._texts = {}

    def set_extension(self, extension: Object) -> None:
        usage = b',"usage":null' if self._include_usage else b""
        self._tail = b"%b,%b}\n\n" % (usage, _json(extension)[1:-1])

    def add_text(self, field: str, text: str) -> None:
        head = self._texts.get(field) or self._text_head(
            field
        )  # of one rendering a text chunk each
        self._frames.append(
            b'%b%b},"logprobs":null,"finish_reason":null}]%b' % (head, _json(text), self._tail)
        )

    def _text_head(self, field: str) -> bytes:
        head = b'%b"choices":[{"index":0,"delta":{"%b":' % (self._head, field.encode())
        self._texts[field] = head
        return head

    def add_arguments(self, index: int, text: str) -> None:
        self._add(
            b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (index, _json(text))
        )

    def add(
        self,
        delta: Object,
        logprobs: Sequence[Json] = (),
        finish_reason: str | None = None,
        beside: Object | None = None,
    ) -> None:
        choice_logprobs = _json({"content": list(logprobs), "refusal": None} if logprobs else None)
        rest = b'"logprobs":%b,"finish_reason":%b' % (choice_logprobs, _json(finish_reason))
        self._add(_json(delta), rest + (b"," + _json(beside)[1:-1] if beside else b""))

    def _add(self, delta: bytes, rest: bytes = b'"logprobs":null,"finish_reason":null') -> None:
        self._frames.append(
            b'%b"choices":[{"index":0,"delta":%b,%b}]%b' % (self._head, delta, rest, self._tail)
        )

    def add_usage(self, usage: Object) -> None:
        if self._include_usage:
            self._frames.append(b'%b"choices":[],"usage":%b}\n\n' % (self._head, _json(usage)))

    def fail(self, body: Object) -> None:
        self._frames.append(frame(body))

    def close(self) -> None:
        self._frames.append(DONE)
