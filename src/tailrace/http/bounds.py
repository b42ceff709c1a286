"""How deep and how many: bounds on a request's JSON, looked at before it costs anything to decode it.

A body of the allowed size can still hold millions of tiny values, each of which takes fifty times its
bytes once decoded. No parser of ours looks: strings are cut out by one expression that never backs up,
what is left is counted.
"""

from __future__ import annotations

import re

from tailrace.errors import BadRequest

MAX_DEPTH = 64
MAX_VALUES = 200_000
MAX_QUOTES = 2_000_000

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKET = bytes(code for code in range(256) if code not in b"[]{}")
_SQUARE = bytes.maketrans(b"{}", b"[]")


def check(body: bytes) -> None:
    """Raises `BadRequest` for JSON that is too deep or has too many values; what is no JSON passes."""
    if body.count(b'"') > MAX_QUOTES:
        raise BadRequest(f"The request has more than {MAX_QUOTES} quotation marks.")
    opened = body.count(b"[") + body.count(b"{")
    if opened <= MAX_DEPTH and body.count(b",") <= MAX_VALUES:
        return
    plain = _STRING.sub(b"", body)
    opened = plain.count(b"[") + plain.count(b"{")
    if plain.count(b",") + opened > MAX_VALUES:
        raise BadRequest(f"The request has more than {MAX_VALUES} values.")
    brackets = plain.translate(_SQUARE, _NO_BRACKET)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if brackets.count(b"[") == brackets.count(b"]") > 0:
        raise BadRequest(f"The request is nested more than {MAX_DEPTH} deep.")
