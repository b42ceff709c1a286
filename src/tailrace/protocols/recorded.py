"""A recorded stream as frames, each with the byte at which it begins: for reading streams that were sent
earlier.

`SseFrames` splits server-sent events, `LineFrames` lines of JSON. Both accept any chunking, and both report
the first frame that is not JSON with the byte of the whole recording at which it is invalid. Recordings of
model servers are read as tolerantly as live replies.
"""

from __future__ import annotations

import itertools
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Protocol

import msgspec
from msgspec import Struct

from tailrace.errors import Malformed, ModelFailed
from tailrace.events.items import Json
from tailrace.events.types import Payload
from tailrace.protocols.fields import Object

DONE = b"[DONE]"
_BLANK = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\n|\r|$)")
_FIELDS = (b"", b"data", b"event", b"id", b"retry")
"""The fields of a line: a comment has no name."""
_LOOSE = (*_FIELDS, b"error")
"""Some model servers write an error without `data:`."""
_MARK = b"\xef\xbb\xbf"
"""The byte order mark at the beginning of a file."""
_PLACE = re.compile(r" \(byte \d+\)$")


class RecordedFrame(Struct, frozen=True, gc=False):
    """One frame: where it begins, all its lines, and its JSON (empty for a mark like `[DONE]`), which
    begins at `at`."""

    offset: int
    raw: bytes
    data: bytes
    at: int = 0


class RecordedReader(Protocol):
    """The meaning of one surface's recorded frames.

    `failure` is set when the recorded run failed, `cancelled` when it was cancelled; `done` when it ended
    in any way that its surface has.
    """

    @property
    def failure(self) -> ModelFailed | None: ...

    @property
    def cancelled(self) -> bool: ...

    @property
    def done(self) -> bool: ...

    def take(self, frame: RecordedFrame) -> list[Payload]:
        """The payloads of the next frame. Raises `Malformed` for a frame that the surface does not have."""
        ...

    def close(self) -> list[Payload]:
        """The recording ended; returns the payloads that were held back."""
        ...


class ObjectReader(ABC):
    """`RecordedReader` for frames that are objects with a `type`; numbers the items from 0."""

    FRAME: ClassVar[str]
    """The name of a frame in errors."""

    def __init__(self) -> None:
        self.failure: ModelFailed | None = None
        self.cancelled = False
        self.done = False
        self._items = itertools.count()
        self._open: dict[str, int] = {}

    def take(self, frame: RecordedFrame) -> list[Payload]:
        if not frame.data:
            return []
        try:
            value: Object = msgspec.json.decode(frame.data)
            return list(self._payloads(value))
        except (KeyError, TypeError, AttributeError) as error:
            raise Malformed(f"not {self.FRAME}: {error!r}", frame.offset) from None

    def close(self) -> list[Payload]:
        return []

    @abstractmethod
    def _payloads(self, value: Object) -> Iterator[Payload]:
        """The payloads of a frame, by its `type`."""


class Frames(Protocol):
    """Splits a recording."""

    def feed(self, data: bytes) -> Iterator[RecordedFrame]:
        """The frames that these bytes complete. Raises `Malformed`."""
        ...

    def close(self) -> Iterator[RecordedFrame]:
        """The last frame, if the recording ends without a terminator. Raises `Malformed`."""
        ...


class SseFrames:
    """Server-sent events; a block of comments alone is not a frame. With `loose` the reader judges their
    data: model servers also send data that is not JSON."""

    def __init__(self, *, loose: bool = False) -> None:
        self._loose = loose
        self._rest = b""
        self._offset = 0

    def feed(self, data: bytes) -> Iterator[RecordedFrame]:
        self._rest += data
        start = 0
        for blank in _BLANK.finditer(self._rest):
            yield from self._event(self._rest[start : blank.end()], self._offset + start)
            start = blank.end()
        self._rest = self._rest[start:]
        self._offset += start

    def close(self) -> Iterator[RecordedFrame]:
        if self._rest.strip():
            yield from self._event(self._rest + b"\n\n", self._offset)

    def _event(self, block: bytes, offset: int) -> Iterator[RecordedFrame]:
        if self._loose and block.lstrip()[:1] == b"{":  # a document, or an error without a field
            yield RecordedFrame(offset, block, b"")
            return
        for frame in _event(block, offset, loose=self._loose):
            if frame.data and not self._loose:
                json_at(frame.data, frame.at)
            yield frame


class LineFrames:
    """One JSON object a line; empty lines are skipped."""

    def __init__(self) -> None:
        self._rest = b""
        self._offset = 0

    def feed(self, data: bytes) -> Iterator[RecordedFrame]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield from self._line(line)

    def close(self) -> Iterator[RecordedFrame]:
        yield from self._line(self._rest)

    def _line(self, line: bytes) -> Iterator[RecordedFrame]:
        mark = len(_MARK) if self._offset == 0 and line.startswith(_MARK) else 0
        data = line[mark:]
        if data.strip():
            json_at(data, self._offset + mark)
            yield RecordedFrame(self._offset, line, data)
        self._offset += len(line) + 1


def json_at(data: bytes, offset: int) -> Json:
    """JSON at `offset`. Raises `Malformed` with the byte at which it is invalid."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = _PLACE.sub("", str(error))
        raise Malformed(f"not JSON: {why}", offset + _wrong(data)) from None


def _wrong(data: bytes) -> int:
    """The byte at which a text is no longer JSON."""
    try:
        json.loads(data.decode())
    except UnicodeDecodeError as error:
        return error.start
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated"):
            return len(data)
        return len(error.doc[: error.pos].encode())
    except RecursionError:
        pass
    return 0  # JSON by Python's wider understanding (NaN), or nested too deeply


def _event(block: bytes, offset: int, *, loose: bool) -> Iterator[RecordedFrame]:
    first, values, lines = 0, list[bytes](), list[bytes]()
    for start, line in _lines(block, offset):
        lines.append(line)
        field, _, value = line.partition(b":")
        if field not in (_LOOSE if loose else _FIELDS):
            raise Malformed("not a line of a server-sent event", start)
        if field == b"data":
            value = value.removeprefix(b" ")
            first = first or start + len(line) - len(value)
            values.append(value)
    if not values and not (loose and any(line and line[:1] != b":" for line in lines)):
        return
    raw, data = b"\n".join(lines), b"\n".join(values)
    if data.strip() == DONE:
        yield RecordedFrame(offset, raw, b"")
        return
    yield RecordedFrame(offset, raw, data, first)


def _lines(block: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a block, each with its position in the recording."""
    mark = len(_MARK) if offset == 0 and block.startswith(_MARK) else 0
    for line in _LINE.finditer(block, mark):
        yield offset + line.start(), line[1]
