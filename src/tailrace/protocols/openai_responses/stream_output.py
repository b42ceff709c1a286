"""Which items a Response object shows: those that are done, without those of replies that a crash cut off and
that were given in other words (docs/adr/0017)."""

from __future__ import annotations

from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.protocols.cut_replies import CutReplies, Source
from tailrace.protocols.fields import Object

BADLY = ("failed", "cancelled", "incomplete")
"""The statuses of a response that holds a cut reply which no whole one followed: it may be all there is."""


class ResponseOutput:
    """The items of one response, by their place in it."""

    def __init__(self) -> None:
        self._items: list[Json] = []
        self._cut = CutReplies[int]()

    def place(self, opening: t.Event | None) -> int:
        """The index of the next item in `output`; `opening` is its `item.started`, for items of a reply."""
        self._items.append(None)
        place = len(self._items) - 1
        if opening is not None:
            self._cut.add((opening.node, opening.agent), place)
        return place

    def set_item(self, place: int, item: Object) -> None:
        """Set the final form of an item."""
        self._items[place] = item

    def end_reply(self, source: Source) -> None:
        """A source's reply is complete: it replaces the one that was abandoned before."""
        self._cut.complete(source)

    def abandon(self, source: Source, *, whole_turn: bool) -> None:
        """A source's cut reply, or all that it has said, is no part of the answer."""
        self._cut.abandon(source, whole_turn=whole_turn)

    def items(self, status: str) -> list[Json]:
        """The items of a response of this status, without those of replaced replies."""
        hidden = {*self._cut.discarded_parts, *(() if status in BADLY else self._cut.left())}
        return [
            item
            for place, item in enumerate(self._items)
            if item is not None and place not in hidden
        ]
