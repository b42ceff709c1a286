"""Finds halves of characters in JSON: a client cut a text between the two escapes of one character. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, cast

_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")


class Half(NamedTuple):
    """A lone surrogate: its number, and the position of its text, as a `param`."""

    code: int
    place: str


def half_character(body: bytes) -> Half | None:
    """The first lone surrogate in otherwise valid JSON; None if there is none."""
    if not _ESCAPE.search(body):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str):
            if match := _HALF.search(value):
                return Half(ord(match[0]), place)
        elif isinstance(value, list):
            inner = enumerate(cast("list[Any]", value))
            waiting += reversed([(f"{place}[{n}]", item) for n, item in inner])
        elif isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            if match := next(filter(None, map(_HALF.search, fields)), None):
                return Half(ord(match[0]), place)
            pairs = [(f"{place}.{name}" if place else name, item) for name, item in fields.items()]
            waiting += reversed(pairs)
    return None
