"""The content codings of request bodies, refused in the words of a client's fault. Pure.

How they are unpacked, and how large a piece gets: `protocols/framing/codings.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.errors import BadRequest, UnsupportedMedia
from tailrace.protocols.framing.codings import (
    CODINGS,
    MEMBERS,
    BadCoding,
    Unpacker,
    names,
)

MOST_CODINGS = 2
"""Codings one on top of the other."""
TOO_MANY = f"The request body has more than {MEMBERS} compressed parts."
ACCEPTED = "gzip, deflate, zstd"
"""What a client is told to use instead, as `Accept-Encoding`."""


def named(header: str) -> tuple[str, ...]:
    """The codings that a `Content-Encoding` names, the last one first, which is how they come off. Raises
    `UnsupportedMedia`."""
    found = names(header)
    for word in found:
        if word not in CODINGS:
            known = ", ".join(CODINGS)
            fault = f"The content encoding {word[:40]!r} is not known here; known: {known}."
            raise UnsupportedMedia(fault, code="unsupported_content_encoding")
    if len(found) > MOST_CODINGS:
        fault = f"A body may be encoded {MOST_CODINGS} times at most, not {len(found)} times."
        raise UnsupportedMedia(fault, code="unsupported_content_encoding")
    return tuple(reversed(found))


def unpacked(coding: str, data: bytes) -> Iterator[bytes]:
    """What `data` is without a coding. Raises `BadRequest` for what is none, or is not whole."""
    unpacker = Unpacker(coding)
    try:
        yield from unpacker.feed(data)
    except BadCoding as fault:
        words = TOO_MANY if fault.too_many else f"The request body is no valid {coding}."
        raise BadRequest(words) from None
    if not unpacker.whole:
        raise BadRequest(f"The request body is incomplete {coding} data.")
