"""The output of a Messages encoder: `MessageSink`, and the frames of a stream.

The encoder decides the content of the message; a sink renders it. `MessageFrames` writes events, the sink
of a document adds them up (`reply.py`), so no document needs a parser of the stream.
"""

from __future__ import annotations

from typing import Protocol

from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json


class MessageSink(Protocol):
    """Takes the parts of one message, in order. One block is open at a time."""

    def start_message(self, message: Object) -> None:
        """`message_start`."""
        ...

    def start_block(self, block: Object, extension: Object) -> None:
        """`content_block_start`; `extension` are fields of the event beside the block."""
        ...

    def add_text(self, field: str, text: str) -> None:
        """A delta that adds to the block's `text`, `thinking` or `signature`."""
        ...

    def add_delta(self, delta: Object) -> None:
        """Any other `content_block_delta`: `input_json_delta`, `citations_delta`, `compaction_delta`."""
        ...

    def stop_block(self) -> None:
        """`content_block_stop`."""
        ...

    def end_message(self, delta: Object, usage: Object, beside: Object) -> None:
        """`message_delta` and `message_stop`; `beside` are further fields of the former."""
        ...

    def fail(self, error: Object) -> None:
        """An `error` instead of the end of the message."""
        ...

    def restart(self) -> None:
        """Drop the parts of an earlier turn; another message begins."""
        ...


class MessageFrames:
    """`MessageSink`: the events of the stream, with the blocks' indexes."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._index = 0
        self._head = b""
        self._texts: dict[str, bytes] = {}

    def take(self) -> list[bytes]:
        """The frames that were added since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def start_message(self, message: Object) -> None:
        self._add("message_start", {"message": message})

    def start_block(self, block: Object, extension: Object) -> None:
        index = self._index
        self._add("content_block_start", {"index": index, "content_block": block, **extension})
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
            % index
        )
        self._texts = {}

    def add_text(self, field: str, text: str) -> None:
        head = self._texts.get(field) or self._text_head(field)
        self._frames.append(b"%b%b}}\n\n" % (head, _json(text)))

    def _text_head(self, field: str) -> bytes:
        """The common beginning of the text deltas of one block and field."""
        name = field.encode()
        head = self._texts[field] = b'%b{"type":"%b_delta","%b":' % (self._head, name, name)
        return head

    def add_delta(self, delta: Object) -> None:
        self._frames.append(b"%b%b}\n\n" % (self._head, _json(delta)))

    def stop_block(self) -> None:
        self._add("content_block_stop", {"index": self._index})
        self._index += 1

    def end_message(self, delta: Object, usage: Object, beside: Object) -> None:
        self._add("message_delta", {"delta": delta, "usage": usage, **beside})
        self._add("message_stop", {})

    def fail(self, error: Object) -> None:
        self._add("error", error)

    def restart(self) -> None:
        self._frames, self._index = [], 0

    def _add(self, kind: str, fields: Object) -> None:
        data = _json({"type": kind, **fields})
        self._frames.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))
