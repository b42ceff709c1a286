"""JSON as one line for every reader.

Server-sent events end a line at LF and CR only, but common readers also split at the Unicode line ends
(httpx's `iter_lines`, Python's `str.splitlines`), which JSON lets stand inside a string. So they are
written as escapes, which mean the same.
"""

from __future__ import annotations

import msgspec

_encode = msgspec.json.Encoder().encode
_ESCAPES = (
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
    ("\u0085".encode(), b"\\u0085"),
)


def encode(value: object) -> bytes:
    """A value as JSON with no character in it that any reader takes for the end of a line."""
    made = _encode(value)
    if made.isascii():
        return made
    for raw, escape in _ESCAPES:
        made = made.replace(raw, escape)
    return made
