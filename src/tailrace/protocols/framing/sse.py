"""Server-sent events: bytes to events, fed in any pieces (WHATWG HTML, 9.2.6).

Reads what model servers really send: any line ending, comments, a BOM, several `data:` lines. `id` and
`retry` mean nothing to us. An event that the end of the stream cuts off is dropped, as the standard
says; `pending` tells that there was one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tailrace.errors import ModelFailed

MAX_EVENT = 16_777_216
"""Bytes one event may have; a server that sends more is not talking to us."""

_LINE = re.compile(rb"\r\n|\n|\r")


class SseEvent(NamedTuple):
    """One event; `event` is empty where the server named none."""

    event: str
    data: bytes


class SseDecoder:
    """Feed bytes, get whole events."""

    def __init__(self) -> None:
        self._buffer = b""
        self._first = True

    @property
    def pending(self) -> bool:
        """Whether an unfinished event is waiting for its end."""
        return bool(self._buffer.strip())

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events these bytes complete. Raises `ModelFailed` for one over `MAX_EVENT` bytes."""
        buffer = self._buffer + data if self._buffer else data
        if self._first and buffer:
            if b"\xef\xbb\xbf".startswith(buffer[:3]) and len(buffer) < 3:
                self._buffer = buffer
                return []
            self._first = False
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
        if b"\r" in buffer:
            blocks, self._buffer = _split(buffer)
        else:
            blocks = buffer.split(b"\n\n")
            self._buffer = blocks.pop()
        if len(self._buffer) > MAX_EVENT:
            raise ModelFailed(f"The model server sent an event of over {MAX_EVENT} bytes.")
        return [event for block in blocks if (event := _event(block)) is not None]


def _split(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Blocks and the rest, for streams that use carriage returns.

    A carriage return at the very end may be half of a line ending: it waits for what follows.
    """
    held = b"\r" if buffer.endswith(b"\r") else b""
    text = buffer[: len(buffer) - len(held)]
    blocks = _LINE.sub(b"\n", text).split(b"\n\n")
    rest = blocks.pop()
    return blocks, rest + held


def _event(block: bytes) -> SseEvent | None:
    """The event of one block of lines, or None for comments alone."""
    block = block.lstrip(b"\n")
    if block.startswith(b"data:") and b"\n" not in block:
        return SseEvent("", block[6:] if block[5:6] == b" " else block[5:])
    name, data = "", list[bytes]()
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return SseEvent(name, b"\n".join(data)) if data else None
