"""How deep and how many: bounds on a request's JSON, looked at before it costs anything to decode it.

A body of the allowed size can still hold millions of tiny values, each of which takes fifty times its
bytes once decoded. No parser of ours looks (`protocols/framing/json_bounds.py`).
"""

from __future__ import annotations

from tailrace.errors import BadRequest
from tailrace.protocols.framing.json_bounds import fault

MAX_QUOTES = 2_000_000


def check(body: bytes) -> None:
    """Raises `BadRequest` for JSON that is too deep or has too many values; what is no JSON passes."""
    if body.count(b'"') > MAX_QUOTES:
        raise BadRequest(f"The request has more than {MAX_QUOTES} quotation marks.")
    if found := fault(body):
        raise BadRequest(f"The request {found}.")
