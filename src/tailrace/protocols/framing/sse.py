"""Server-sent events: bytes to events, fed in any pieces (WHATWG HTML, 9.2.6).

Reads what model servers really send: any line ending, comments, a BOM, several `data:` lines. `id` and
`retry` mean nothing to us. Beyond the standard, nothing that a server says is dropped: a name without data
is an event, lines that are of no field are a `stray` one, and the event that the end of the stream cuts off
can be had from `close`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tailrace.errors import ModelFailed

MAX_EVENT = 16_777_216
"""Bytes one event may have; a server that sends more is not talking to us."""

_LINE = re.compile(rb"\r\n|\n|\r")


_FIELDS = frozenset((b"", b"data", b"event", b"id", b"retry"))
"""What a line may begin with; a comment has no name."""


class SseEvent(NamedTuple):
    """One event; `event` is empty where the server named none. `stray` is what was no event: `data` is all of
    its lines."""

    event: str
    data: bytes
    stray: bool = False


class SseDecoder:
    """Feed bytes, get whole events. Each byte is looked at once, however small the pieces are."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._rest = b""
        self._first = True

    @property
    def pending(self) -> bool:
        """Whether an unfinished event is waiting for its end."""
        return any(piece.strip() for piece in self._pieces)

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events these bytes complete. Raises `ModelFailed` for one over `MAX_EVENT` bytes."""
        data = self._plain(data)
        if not data:
            return []
        split = self._pieces and self._pieces[-1].endswith(b"\n") and data.startswith(b"\n")
        if not split and b"\n\n" not in data:
            self._keep(data)
            return []
        blocks = b"".join((*self._pieces, data)).split(b"\n\n")
        self._pieces, self._size = [], 0
        self._keep(blocks.pop())
        return [event for block in blocks if (event := _event(block)) is not None]

    def close(self) -> list[SseEvent]:
        """The stream ended: the event that nothing ended, if there is one."""
        return self.feed(b"\n\n") if self._pieces or self._rest else []

    def _keep(self, data: bytes) -> None:
        """Put bytes by until their event is whole."""
        if data:
            self._pieces.append(data)
            self._size += len(data)
        if self._size > MAX_EVENT:
            raise ModelFailed(f"The model server sent an event of over {MAX_EVENT} bytes.")

    def _plain(self, data: bytes) -> bytes:
        """The bytes with line feeds for all line endings, without the mark that may begin a stream.

        A carriage return at the very end may be half of a line ending: it waits for what follows.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        if self._first:
            if data and len(data) < 3 and b"\xef\xbb\xbf".startswith(data):
                self._rest = data
                return b""
            self._first = not data
            data = data.removeprefix(b"\xef\xbb\xbf")
        if b"\r" not in data:
            return data
        if data.endswith(b"\r"):
            data, self._rest = data[:-1], b"\r"
        return _LINE.sub(b"\n", data)


def _event(block: bytes) -> SseEvent | None:
    """The event of one block of lines, or None for comments alone."""
    if not block or (block.startswith(b":") and b"\n" not in block):
        return None
    block = block.lstrip(b"\n")
    if block.startswith(b"data:") and b"\n" not in block:
        return SseEvent("", block[6:] if block[5:6] == b" " else block[5:])
    name, data, is_field = "", list[bytes](), False
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        is_field = is_field or field in _FIELDS
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    if data or name:
        return SseEvent(name, b"\n".join(data))
    return None if is_field or not block.strip() else SseEvent("", block, stray=True)
