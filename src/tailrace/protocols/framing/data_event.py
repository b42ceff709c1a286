"""Server-sent events that are one line of data each, without a name: an object, or the mould of a delta."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.events.items import Json
from tailrace.protocols.framing.json_line import encode as _json


def frame(value: Mapping[str, Json]) -> bytes:
    """An object as an event."""
    return b"data: " + _json(value) + b"\n\n"


def mould(fields: Mapping[str, Json], field: str) -> bytes:
    """An event whose last field is still to be filled in: `mould % json`. `fixed` is not empty."""
    head = _json(fields)[:-1].replace(b"%", b"%%")
    return b'data: %b,"%b":%%b}\n\n' % (head, field.encode())
