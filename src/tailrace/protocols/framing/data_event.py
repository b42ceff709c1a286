"""Writes server-sent events that have one line of data and no name: objects, and templates for deltas."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.events.items import Json
from tailrace.protocols.framing.json_line import encode as _json


def frame(value: Mapping[str, Json]) -> bytes:
    """An object as an event."""
    return b"data: " + _json(value) + b"\n\n"


def mould(fields: Mapping[str, Json], field: str) -> bytes:
    """The template of an event whose last field `field` is filled in later: `mould(…) % json`. `fields` is
    not empty."""
    head = _json(fields)[:-1].replace(b"%", b"%%")
    return b'data: %b,"%b":%%b}\n\n' % (head, field.encode())
