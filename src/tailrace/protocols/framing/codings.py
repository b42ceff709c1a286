"""The content codings gzip, deflate and zstd, decompressed piece by piece as bytes are fed. Pure.

No piece is larger than `PIECE` (gzip, deflate) or the output of `ZSTD_INPUT` bytes, so a caller can stop in
time, and can let other tasks run between two pieces.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import zstandard

MEMBERS = 1_000
"""Maximum number of members in one body; parallel compressors write several, none writes more."""
INPUT = 65_536
PIECE = 262_144
ZSTD_INPUT = 128
"""Input bytes of zstd at a time: a block of four bytes can become 128 KiB, and zstandard's reader returns
all of it at once."""
ZSTD_WINDOW = 8_388_608
"""The window that every reader of the coding must support, and the largest that a writer may use (RFC
9659)."""


class BadCoding(Exception):
    """The bytes are not of the coding, or have more than `MEMBERS` members (`too_many`)."""

    def __init__(self, *, too_many: bool = False) -> None:
        super().__init__()
        self.too_many = too_many


class Unpacker:
    """One body in one coding. `whole`: the bytes so far are a complete body."""

    def __init__(self, coding: str) -> None:
        self._make = CODINGS[coding]
        self._part: _CodedPart | None = None
        self._parts = 0

    @property
    def whole(self) -> bool:
        """Whether the body may end here."""
        return self._part is None and self._parts > 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decompressed output of these bytes, in pieces. Raises `BadCoding`."""
        try:
            yield from self._decode(data)
        except (zlib.error, zstandard.ZstdError):
            raise BadCoding from None

    def _decode(self, data: bytes) -> Iterator[bytes]:
        left = memoryview(data)  # the rest after a member is not copied: there may be many members
        while left:
            if self._part is None:
                if self._parts == MEMBERS:
                    raise BadCoding(too_many=True)
                self._part = self._make(bytes(left[:2]))
                self._parts += 1
            part = self._part
            yield from part.feed(left)
            if not part.at_end:
                return
            left = left[len(left) - part.left :]
            self._part = None


class _CodedPart(Protocol):
    left: int
    """The number of the last fed bytes that follow the member's end."""

    @property
    def at_end(self) -> bool:
        """Whether the member is complete."""
        ...

    def feed(self, data: memoryview) -> Iterator[bytes]:
        """The decoded bytes, in pieces of bounded size."""
        ...


class _Inflater:
    def __init__(self, form: int) -> None:
        self.left = 0
        self._reader = zlib.decompressobj(form)

    @property
    def at_end(self) -> bool:
        return self._reader.eof

    def feed(self, data: memoryview) -> Iterator[bytes]:
        reader = self._reader
        for start in range(0, len(data), INPUT):
            chunk: bytes | memoryview = data[start : start + INPUT]
            while not reader.eof:
                piece = reader.decompress(chunk, PIECE)
                chunk = reader.unconsumed_tail
                if piece:
                    yield piece
                if not chunk and len(piece) < PIECE:
                    break
            if reader.eof:
                self.left = len(reader.unused_data) + max(len(data) - start - INPUT, 0)
                return


class _Zstd:
    def __init__(self) -> None:
        self.left = 0
        self._reader = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()

    @property
    def at_end(self) -> bool:
        return self._reader.eof

    def feed(self, data: memoryview) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_INPUT):
            yield self._reader.decompress(data[start : start + ZSTD_INPUT])
            if self._reader.eof:
                self.left = len(self._reader.unused_data) + max(len(data) - start - ZSTD_INPUT, 0)
                return


def _gzip(_: bytes) -> _CodedPart:
    return _Inflater(zlib.MAX_WBITS | 16)


def _deflate(head: bytes) -> _CodedPart:
    """zlib's format, as specified, or bare deflate, which many clients send."""
    first, second = head[0], head[1] if len(head) > 1 else 0
    has_header = first & 15 == 8 and (len(head) == 1 or (first * 256 + second) % 31 == 0)
    return _Inflater(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _zstd(_: bytes) -> _CodedPart:
    return _Zstd()


CODINGS: Mapping[str, Callable[[bytes], _CodedPart]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}


def names(header: str) -> list[str]:
    """The codings of a `Content-Encoding` header, in the order in which they were applied."""
    words = (word.strip().lower() for word in header.split(","))
    return [word for word in words if word not in ("", "identity")]
