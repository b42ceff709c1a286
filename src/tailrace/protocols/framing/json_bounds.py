"""How deep JSON is and how many values it has, seen before it costs anything to decode it. Pure.

Decoders recurse, and what is near their limit can be read here and no more from the log, where it lies
some levels deeper. No parser of ours looks: strings are cut out by one expression that never backs up, what
is left is counted.
"""

from __future__ import annotations

import re

MAX_DEPTH = 64
MAX_VALUES = 200_000
"""A value of two bytes takes fifty times as much once it is decoded."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKET = bytes(code for code in range(256) if code not in b"[]{}")
_SQUARE = bytes.maketrans(b"{}", b"[]")


def without_strings(body: bytes) -> bytes:
    """JSON without what its strings say."""
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
    """What is too much about JSON, or `""`; most has too few brackets and commas to be looked at."""
    brackets = body.count(b"[") + body.count(b"{")
    if brackets <= MAX_DEPTH and body.count(b",") <= MAX_VALUES:
        return ""
    plain = without_strings(body)
    if is_many(plain):
        return f"has more than {MAX_VALUES} values"
    return f"is nested more than {MAX_DEPTH} deep" if is_deep(plain) else ""
