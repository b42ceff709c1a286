"""Bounds on the depth and the number of values of a request's JSON, checked before it is decoded.

A body of the allowed size can have millions of small values, each of which takes fifty times its bytes when
decoded. The JSON parser has no such bounds (`protocols/framing/json_bounds.py`).
"""

from __future__ import annotations

from tailrace.errors import BadRequest
from tailrace.protocols.framing.json_bounds import fault

MAX_QUOTES = 2_000_000


def check(body: bytes) -> None:
    """Raises `BadRequest` for JSON that is too deep or has too many values; invalid JSON passes."""
    if body.count(b'"') > MAX_QUOTES:
        raise BadRequest(f"The request has more than {MAX_QUOTES} quotation marks.")
    if message := fault(body):
        raise BadRequest(f"The request {message}.")
