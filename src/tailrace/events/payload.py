"""The base of the payloads of events (`types.py`)."""

from __future__ import annotations

from msgspec import Struct


class Base(Struct, frozen=True, tag_field="type", omit_defaults=True, gc=False):
    """Base of every payload."""
