"""`ChunkSink`, which receives the chunks of a run, and `ChunkFrames`, which writes them as a stream.

The encoder decides what a chunk contains; a sink renders it. `ChunkFrames` writes each chunk as a server-sent
event, `ChunkDocument` (`reply.py`) adds the chunks up to one document, so a document is built from chunks
without parsing.
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
    """Receives the chunks of one completion, in order."""

    def set_head(self, fields: Object) -> None:
        """Set the fields that the following chunks share: `id`, `model`, …"""
        ...

    def set_extension(self, extension: Object) -> None:
        """Set the extension fields of a mount that attributes events to agents. The following chunks have
        them; the usage chunk does not."""
        ...

    def add_text(self, field: str, text: str) -> None:
        """Add a chunk whose delta has a piece of text as its only field."""
        ...

    def add_arguments(self, index: int, text: str) -> None:
        """Add a chunk with a piece of the arguments of call `index`."""
        ...

    def add(
        self,
        delta: Object,
        logprobs: Sequence[Json] = (),
        finish_reason: str | None = None,
        beside: Object | None = None,
    ) -> None:
        """Add any other chunk; `beside` holds further fields of its choice."""
        ...

    def add_usage(self, usage: Object) -> None:
        """Add the chunk that has `usage` and no choice."""
        ...

    def fail(self, body: Object) -> None:
        """Add an error body; no chunk follows it."""
        ...

    def close(self) -> None:
        """End the stream: the last chunk has been added."""
        ...

    def restart(self) -> None:
        """Drop the chunks of an earlier turn; another completion begins."""
        ...


class ChunkFrames:
    """`ChunkSink` that writes chunks as server-sent events. With `include_usage` the field `usage` is null in
    every chunk, and a separate chunk carries the usage."""

    def __init__(self, *, include_usage: bool) -> None:
        self._frames: list[bytes] = []
        self._include_usage = include_usage
        self._head = b""
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._texts: dict[str, bytes] = {}

    def take(self) -> list[bytes]:
        """Returns the frames that were added since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def set_head(self, fields: Object) -> None:
        self._head = b"data: " + _json(fields)[:-1] + b","
        self._texts = {}

    def set_extension(self, extension: Object) -> None:
        usage = b',"usage":null' if self._include_usage else b""
        self._tail = b"%b,%b}\n\n" % (usage, _json(extension)[1:-1])

    def add_text(self, field: str, text: str) -> None:
        head = self._texts.get(field) or self._text_head(field)  # rendered once per field
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

    def restart(self) -> None:
        self._frames = []
