"""A run as one surface shows it: what the routes of a surface hand to the stream that carries it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tailrace.http.framing import SSE, Framing
from tailrace.http.projection import Encoders


class View(Struct, frozen=True):
    """`key` tells this view from all others of the same run: readers with equal keys share frames.
    `headers` are those of one reply, besides the framing's. `marks` frames at its end have no number that a
    client can have seen."""

    key: object
    encoders: Encoders
    framing: Framing = SSE
    headers: Mapping[str, str] = {}
    marks: int = 0
