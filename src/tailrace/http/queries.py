"""Query parameters that several surfaces have."""

from __future__ import annotations

from starlette.requests import Request

from tailrace.errors import BadRequest


def cursor(text: str, name: str) -> int:
    """A frame cursor from a query or header: the number of the last frame seen, or -1 for none."""
    if text == "-1":
        return -1
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadRequest(f"{name} must be a whole number, not {text[:40]!r}.", param=name)
    return int(text)


def cursor_name(http: Request) -> str:
    """The parameter that a request has its frame cursor in."""
    return "after" if "after" in http.query_params else "starting_after"


def flag(text: str | None) -> bool:
    """A boolean query parameter."""
    return text is not None and text.lower() in ("true", "1")
