"""Parses server-sent events from bytes, in any chunking (WHATWG HTML, 9.2.6).

It reads what model servers really send: any line ending, comments, a BOM, several `data:` lines. `id` and
`retry` are ignored. Beyond the standard, no content of a server is dropped: a name without data is an
event, lines without a field are a `stray` one, and `close` returns the event that the end of the stream cut
off.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tailrace.errors import ModelFailed

MAX_EVENT = 16_777_216
"""Maximum size of one event, in bytes; a server that sends more does not send events of a model."""

_LINE = re.compile(rb"\r\n|\n|\r")


_FIELDS = frozenset((b"", b"data", b"event", b"id", b"retry"))
"""The names of fields; a comment has none."""


class SseEvent(NamedTuple):
    """One event; `event` is empty if the server named none. `stray`: lines that are not an event; `data` is
    all of them."""

    event: str
    data: bytes
    stray: bool = False


class SseDecoder:
    """Feed bytes, get complete events. Each byte is read once, however small the pieces are."""

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
        """The stream ended: the event without its terminator, if there is one."""
        return self.feed(b"\n\n") if self._pieces or self._rest else []

    def _keep(self, data: bytes) -> None:
        """Buffer bytes until their event is complete."""
        if data:
            self._pieces.append(data)
            self._size += len(data)
        if self._size > MAX_EVENT:
            raise ModelFailed(f"The model server sent an event of over {MAX_EVENT} bytes.")

    def _plain(self, data: bytes) -> bytes:
        """The bytes with line feeds for all line endings, without the BOM that may begin a stream.

        A carriage return at the very end may be half of a line ending: it waits for the next bytes.
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
