"""The models of a server, as Anthropic lists them (anthropic 2.11's `ModelInfo` and `ModelListParams`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tailrace.errors import BadRequest
from tailrace.protocols.fields import Object

LIMIT, MOST = 20, 1000
UNKNOWN = "1970-01-01T00:00:00Z"
"""The release date of a model, which this server does not know."""


def model(name: str) -> Object:
    """One model; its capabilities are known to its server only."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": UNKNOWN,
        "lifecycle": "active",
        "deprecated_at": None,
        "capabilities": None,
        "line": None,
        "max_input_tokens": None,
        "max_tokens": None,
    }


def page(names: Sequence[str], query: Mapping[str, str]) -> Object:
    """A page of models: `limit` after `after_id`, or before `before_id`. Raises `BadRequest`."""
    limit = _limit(query.get("limit", ""))
    first, last = 0, len(names)
    if after := query.get("after_id"):
        first = _place(names, after, "after_id") + 1
    elif before := query.get("before_id"):
        last = _place(names, before, "before_id")
        first = max(last - limit, 0)
    page_names = names[first : min(first + limit, last)]
    more = first > 0 if query.get("before_id") and not after else first + limit < last
    return {
        "data": [model(name) for name in page_names],
        "first_id": page_names[0] if page_names else None,
        "last_id": page_names[-1] if page_names else None,
        "has_more": more,
    }


def _limit(text: str) -> int:
    if not text:
        return LIMIT
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= MOST:
        raise BadRequest(f"limit: must be a whole number from 1 to {MOST}", param="limit")
    return int(text)


def _place(names: Sequence[str], name: str, param: str) -> int:
    if name not in names:
        raise BadRequest(f"{param}: no model is called {name[:100]!r}", param=param)
    return names.index(name)
