"""Which parts of a stream are not the answer, because a crash interrupted their reply and the next attempt
gave another one.

They remain in the stream, because clients have seen them. Code that assembles the answer drops them once
the reply that replaces them is complete: if the run then fails they may be all there is (docs/adr/0017).
"""

from __future__ import annotations

from typing import Generic, TypeVar

Source = tuple[str, str]
"""A node and an agent."""
T = TypeVar("T")


class CutReplies(Generic[T]):
    """The parts of a stream (`T`: their positions or ids) by their source."""

    def __init__(self) -> None:
        self.discarded_parts: list[T] = []
        """Parts of interrupted replies that a complete reply has replaced."""
        self._parts: dict[Source, list[T]] = {}
        self._whole: dict[Source, int] = {}
        self._abandoned_parts: dict[Source, list[T]] = {}

    def add(self, source: Source, part: T) -> None:
        """A source's current reply has this part; each part is added once."""
        self._parts.setdefault(source, []).append(part)

    def abandon(self, source: Source, *, whole_turn: bool) -> None:
        """The parts since a source's last complete reply, or all of its parts, are not part of the answer."""
        first = 0 if whole_turn else self._whole.get(source, 0)
        parts = self._parts.get(source, [])
        self._abandoned_parts.setdefault(source, []).extend(parts[first:])
        del parts[first:]
        self._whole[source] = first

    def complete(self, source: Source) -> list[T]:
        """A source's reply is complete; returns the parts that it replaces."""
        self._whole[source] = len(self._parts.get(source, ()))
        parts = self._abandoned_parts.pop(source, [])
        self.discarded_parts += parts
        return parts

    def left(self) -> list[T]:
        """The parts of interrupted replies that no complete reply has replaced."""
        return [part for parts in self._abandoned_parts.values() for part in parts]
