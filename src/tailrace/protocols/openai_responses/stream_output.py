"""Which items a Response object shows: those that are done, without what was said in vain.

A reply that a crash cut off and that the next attempt said in other words stands in the stream, for it was
shown; the object holds the answer once (docs/adr/0017). Of a run that ended badly, what was cut off and no
whole reply followed may be all there is, so it is kept.
"""

from __future__ import annotations

from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.protocols.fields import Object

BADLY = ("failed", "cancelled", "incomplete")
"""The statuses of a response of which everything is kept."""
Source = tuple[str, str]
"""A node and an agent."""


class Output:
    """The items of one response, by their place in it."""

    def __init__(self) -> None:
        self._items: list[Json] = []
        self._abandoned: dict[Source, set[int]] = {}
        self._replaced: set[int] = set()
        self._said: dict[Source, list[int]] = {}
        self._accounted: dict[Source, int] = {}

    def place(self, opening: t.Event | None) -> int:
        """The place of the next item; `opening` is the event that began it in the log, if that is now."""
        self._items.append(None)
        place = len(self._items) - 1
        if opening is not None:
            self._said.setdefault((opening.node, opening.agent), []).append(place)
        return place

    def finished(self, place: int, item: Object) -> None:
        """An item is done."""
        self._items[place] = item

    def replied(self, source: Source) -> None:
        """A reply is whole."""
        self._accounted[source] = len(self._said.get(source, ()))
        self._replaced |= self._abandoned.get(source, set())

    def abandon(self, source: Source, *, whole_turn: bool) -> None:
        """What a source has said since its last whole reply, or all of it, was said in vain."""
        first = 0 if whole_turn else self._accounted.get(source, 0)
        said = self._said.get(source, [])[first:]
        self._abandoned[source] = self._abandoned.get(source, set()) | set(said)

    def shown(self, status: str) -> list[Json]:
        """The items that a response of this status holds."""
        hidden = self._replaced if status in BADLY else set[int]().union(*self._abandoned.values())
        return [
            item
            for place, item in enumerate(self._items)
            if item is not None and place not in hidden
        ]
