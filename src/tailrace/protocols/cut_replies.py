"""What a crash cut off and the next attempt said in other words: which parts of a stream are no answer.

They stand in the stream, for they were shown. Whatever holds the answer drops them once the reply that
replaces them is whole: of a run that then fails they may be all there is (docs/adr/0017).
"""

from __future__ import annotations

from typing import Generic, TypeVar

Source = tuple[str, str]
"""A node and an agent."""
T = TypeVar("T")


class CutReplies(Generic[T]):
    """The parts of a stream (`T`: their places or ids) by their source."""

    def __init__(self) -> None:
        self.discarded_parts: list[T] = []
        """Parts of cut replies that a whole reply followed."""
        self._parts: dict[Source, list[T]] = {}
        self._whole: dict[Source, int] = {}
        self._abandoned_parts: dict[Source, list[T]] = {}

    def add(self, source: Source, part: T) -> None:
        """A source's present reply has this part; each is named once."""
        self._parts.setdefault(source, []).append(part)

    def abandon(self, source: Source, *, whole_turn: bool) -> None:
        """What a source has said since its last whole reply, or all of it, is no part of the answer."""
        first = 0 if whole_turn else self._whole.get(source, 0)
        parts = self._parts.get(source, [])
        self._abandoned_parts.setdefault(source, []).extend(parts[first:])
        del parts[first:]
        self._whole[source] = first

    def complete(self, source: Source) -> list[T]:
        """A source's reply is whole; returns the parts that it replaces."""
        self._whole[source] = len(self._parts.get(source, ()))
        parts = self._abandoned_parts.pop(source, [])
        self.discarded_parts += parts
        return parts

    def left(self) -> list[T]:
        """The parts of cut replies that no whole reply has followed."""
        return [part for parts in self._abandoned_parts.values() for part in parts]
