"""Query parameters that several surfaces have."""

from __future__ import annotations

from starlette.requests import Request

from tailrace.errors import BadRequest


def cursor(text: str, name: str) -> int:
    """The frame cursor of a query or header: the number of the last frame that the client has, or -1. Raises
    `BadRequest`."""
    if text == "-1":
        return -1
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadRequest(f"{name} must be a whole number, not {text[:40]!r}.", param=name)
    return int(text)


def cursor_name(http: Request) -> str:
    """The name of a request's cursor parameter."""
    return "after" if "after" in http.query_params else "starting_after"


def flag(text: str | None) -> bool:
    """The value of a boolean query parameter; False if it is missing."""
    return text is not None and text.lower() in ("true", "1")
