"""Characters that a model server cut in two, joined across the pieces of one text. Pure.

A half at the end of a piece waits for the next piece of the same text. A half that remains alone becomes
U+FFFD.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tailrace.events import types as t
from tailrace.protocols.framing.loose_json import HALF, UNKNOWN, whole

Piece = (
    t.TextDelta
    | t.RefusalDelta
    | t.ReasoningDelta
    | t.ReasoningSummaryDelta
    | t.ArgumentsDelta
    | t.TranscriptDelta
)


class Halves:
    """The halves that wait in one reply, each with the piece of text that it ended."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[Piece, str]] = {}

    def mend(self, payloads: Sequence[t.Payload]) -> list[t.Payload]:
        """The payloads without halves, except those that wait for the next piece."""
        return [result for payload in payloads for result in self._mend(payload)]

    def _mend(self, payload: t.Payload) -> Iterator[t.Payload]:
        if isinstance(payload, Piece):
            yield from self._join(payload)
            return
        if isinstance(payload, t.ItemCompleted):
            yield from self._alone(payload.item)
        yield _without(payload)

    def _join(self, piece: Piece) -> Iterator[t.Payload]:
        carry = ""
        if piece.item in self._waiting:
            before, half = self._waiting[piece.item]
            if _place(before) == _place(piece):
                carry = half
                del self._waiting[piece.item]
            else:
                yield from self._alone(piece.item)
        text, rest = whole(carry + piece.text)
        if rest:
            self._waiting[piece.item] = (piece, rest)
        if text or not (carry or rest):
            yield _without(msgspec.structs.replace(piece, text=text))

    def _alone(self, item: int) -> Iterator[t.Payload]:
        if item in self._waiting:
            piece, _ = self._waiting.pop(item)
            bare: dict[str, object] = {"logprobs": ()} if isinstance(piece, t.TextDelta) else {}
            yield msgspec.structs.replace(piece, text=UNKNOWN, **bare)


def _place(piece: Piece) -> tuple[type[t.Base], int]:
    return type(piece), getattr(piece, "part", 0)


def _without(payload: t.Payload) -> t.Payload:
    """A payload without lone surrogates in its other texts."""
    text = msgspec.json.encode(payload).decode()
    if not HALF.search(text):
        return payload
    return msgspec.json.decode(HALF.sub(UNKNOWN, text), type=type(payload))
