"""The depth of JSON and its number of values, determined before it is decoded. Pure.

Decoders recurse, and JSON near their limit can be decoded here but not from the log, where it is some
levels deeper. JSON is not parsed for this: one expression without backtracking removes the strings, and the
rest is counted.
"""

from __future__ import annotations

import re

MAX_DEPTH = 64
MAX_VALUES = 200_000
"""Maximum number of values: a value of two bytes takes fifty times as much when it is decoded."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKET = bytes(code for code in range(256) if code not in b"[]{}")
_SQUARE = bytes.maketrans(b"{}", b"[]")


def without_strings(body: bytes) -> bytes:
    """JSON without the content of its strings."""
    return _STRING.sub(b"", body)


def is_deep(plain: bytes) -> bool:
    """Whether JSON `without_strings` is nested more than `MAX_DEPTH` deep; False for invalid JSON."""
    brackets = plain.translate(_SQUARE, _NO_BRACKET)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    return brackets.count(b"[") == brackets.count(b"]") > 0


def is_many(plain: bytes) -> bool:
    """Whether JSON `without_strings` has more than `MAX_VALUES` values."""
    return plain.count(b",") + plain.count(b"[") + plain.count(b"{") > MAX_VALUES


def fault(body: bytes) -> str:
    """The limit that JSON exceeds, or `""`; most has too few brackets and commas to be checked."""
    brackets = body.count(b"[") + body.count(b"{")
    if brackets <= MAX_DEPTH and body.count(b",") <= MAX_VALUES:
        return ""
    plain = without_strings(body)
    if is_many(plain):
        return f"has more than {MAX_VALUES} values"
    return f"is nested more than {MAX_DEPTH} deep" if is_deep(plain) else ""
