"""The content codings of request bodies, with faults as client errors. Pure.

`protocols/framing/codings.py` decodes them, in bounded pieces.
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
"""Codings that one body may have."""
TOO_MANY = f"The request body has more than {MEMBERS} compressed parts."
ACCEPT_ENCODING = "gzip, deflate, zstd"
"""The `Accept-Encoding` of a 415 reply."""


def codings_of(header: str) -> tuple[str, ...]:
    """The codings of a `Content-Encoding` header, the last first: the order of decoding. Raises
    `UnsupportedMedia`."""
    codings = names(header)
    for word in codings:
        if word not in CODINGS:
            fault = f"The content encoding {word[:40]!r} is not supported; supported: {', '.join(CODINGS)}."
            raise UnsupportedMedia(fault, code="unsupported_content_encoding")
    if len(codings) > MOST_CODINGS:
        fault = f"A body may be encoded {MOST_CODINGS} times at most, not {len(codings)} times."
        raise UnsupportedMedia(fault, code="unsupported_content_encoding")
    return tuple(reversed(codings))


def decode(coding: str, data: bytes) -> Iterator[bytes]:
    """`data` without a coding, in pieces. Raises `BadRequest` for invalid or incomplete data."""
    unpacker = Unpacker(coding)
    try:
        yield from unpacker.feed(data)
    except BadCoding as fault:
        message = TOO_MANY if fault.too_many else f"The request body is no valid {coding}."
        raise BadRequest(message) from None
    if not unpacker.whole:
        raise BadRequest(f"The request body is incomplete {coding} data.")
