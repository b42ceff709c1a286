"""The content codings of request bodies: gzip, deflate and zstd, unpacked piece by piece.

No piece is larger than `PIECE` (gzip, deflate) or what `ZSTD_INPUT` bytes can become, so who takes the pieces
can stop in time, and can let others work between two. Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping

import zstandard

from tailrace.errors import BadRequest, UnsupportedMedia

MOST_CODINGS = 2
"""Codings one on top of the other."""
MEMBERS = 1_000
"""Parts that each have a head of their own: what compresses with several threads makes some, nobody more."""
TOO_MANY = f"The request body has more than {MEMBERS} compressed parts."
INPUT = 65_536
PIECE = 262_144
ZSTD_INPUT = 128
"""A block of four bytes can become 128 KiB, and zstandard's reader gives all of it at once."""
ZSTD_WINDOW = 8_388_608
"""What a reader of the content coding has to have at least, and a writer may ask for at most (RFC 9659)."""

Unpacked = Iterator[bytes]


def named(header: str) -> tuple[str, ...]:
    """The codings that a `Content-Encoding` names, the last one first, which is how they come off. Raises
    `UnsupportedMedia`."""
    words = (word.strip().lower() for word in header.split(","))
    found = [word for word in words if word not in ("", "identity")]
    for word in found:
        if word not in CODINGS:
            known = ", ".join(CODINGS)
            fault = f"The content encoding {word[:40]!r} is not known here; known: {known}."
            raise UnsupportedMedia(fault, code="unsupported_content_encoding")
    if len(found) > MOST_CODINGS:
        fault = f"A body may be encoded {MOST_CODINGS} times at most, not {len(found)} times."
        raise UnsupportedMedia(fault, code="unsupported_content_encoding")
    return tuple(reversed(found))


def unpacked(coding: str, data: bytes) -> Unpacked:
    """What `data` is without a coding. Raises `BadRequest` for what is none, or is not whole."""
    try:
        yield from CODINGS[coding](data)
    except (zlib.error, zstandard.ZstdError):
        raise BadRequest(f"The request body is no valid {coding}.") from None
    except _NotWhole:
        raise BadRequest(f"The request body is {coding} that is not whole.") from None


class _NotWhole(Exception):
    pass


def _gzip(data: bytes) -> Unpacked:
    return _inflated(data, zlib.MAX_WBITS | 16)


def _deflate(data: bytes) -> Unpacked:
    """zlib's form, as specified, or bare deflate, which many send."""
    wrapped = len(data) > 1 and data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
    return _inflated(data, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)


def _inflated(data: bytes, form: int) -> Unpacked:
    at = 0
    for _ in range(MEMBERS):
        reader = zlib.decompressobj(form)
        while not reader.eof:
            given = reader.unconsumed_tail
            if not given:
                given = data[at : at + INPUT]
                at += len(given)
            piece = reader.decompress(given, PIECE)
            if not given and not piece:
                raise _NotWhole
            yield piece
        at -= len(reader.unused_data)
        if at == len(data):
            return
    raise BadRequest(TOO_MANY)


def _zstd(data: bytes) -> Unpacked:
    frames = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    at = 0
    for _ in range(MEMBERS):
        reader = frames.decompressobj()
        while not reader.eof:
            given = data[at : at + ZSTD_INPUT]
            at += len(given)
            if not given:
                raise _NotWhole
            yield reader.decompress(given)
        at -= len(reader.unused_data)
        if at == len(data):
            return
    raise BadRequest(TOO_MANY)


CODINGS: Mapping[str, Callable[[bytes], Unpacked]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
ACCEPTED = "gzip, deflate, zstd"
"""What a client is told to use instead, as `Accept-Encoding`."""
