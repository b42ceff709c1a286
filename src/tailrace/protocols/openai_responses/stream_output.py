"""The items that a Response object shows: those that are done, without items of replies that a crash
interrupted and a different reply replaced (docs/adr/0017)."""

from __future__ import annotations

from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.protocols.cut_replies import CutReplies, Source
from tailrace.protocols.fields import Object

BADLY = ("failed", "cancelled", "incomplete")
"""A response with one of these statuses also shows an interrupted reply that no complete one followed,
because it may be all the output there is."""


class ResponseOutput:
    """The items of one response, by their index in `output`."""

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
        """A source's reply is complete: it replaces the reply that was abandoned before."""
        self._cut.complete(source)

    def abandon(self, source: Source, *, whole_turn: bool) -> None:
        """Remove a source's interrupted reply from the answer, or with `whole_turn` all its output of the
        turn."""
        self._cut.abandon(source, whole_turn=whole_turn)

    def items(self, status: str) -> list[Json]:
        """The items of a response of this status, without those of replaced replies."""
        hidden = {*self._cut.discarded_parts, *(() if status in BADLY else self._cut.left())}
        return [
            item
            for place, item in enumerate(self._items)
            if item is not None and place not in hidden
        ]
