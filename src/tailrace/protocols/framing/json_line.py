"""JSON as one line for every reader.

Server-sent events end a line at LF and CR only, but common readers also split at the Unicode line ends
(httpx's `iter_lines`, Python's `str.splitlines`), which JSON allows inside a string. So they are written as
equivalent escapes.
"""

from __future__ import annotations

import re

import msgspec

_encode = msgspec.json.Encoder().encode
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
_ESCAPES = (
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
    ("\u0085".encode(), b"\\u0085"),
)


def encode(value: object) -> bytes:
    """A value as JSON without any character that a reader takes for the end of a line."""
    text = _encode(value)
    if text.isascii():
        return text
    for raw, escape in _ESCAPES:
        text = text.replace(raw, escape)
    return text


def encode_ascii(value: object) -> bytes:
    """A value as JSON of ASCII only, for readers that decode each piece of a body by itself: a character
    that a piece cuts in two would be lost to them."""
    text = _encode(value)
    if text.isascii():
        return text
    return _BEYOND_ASCII.sub(_escape, text.decode()).encode()


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
