"""A run that has not been sealed: its claim, and the tail of its log that is in segments only.

The tail is kept as the bytes that are on disk, one piece for each frame, and decoded when a reader needs it.
As objects it would be three times as large, and readers that keep up get events from `watch` and never read.
Of the frames of an earlier process only the places are known: a start reads no bodies, however long the tail
is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from tailrace.log.stores.claim import Claim
from tailrace.log.stores.sqlite.rows import CHUNK_BYTES, CHUNK_EVENTS
from tailrace.log.stores.sqlite.segments import Piece, lost_piece

TAIL_EVENTS = 256
TAIL_BYTES = 262_144
"""A tail of this length is written as a chunk and released."""


class LiveRun(Claim):
    """Events before `base` are in chunks; those from `base` to `last` are in the tail.

    `busy` is true while a chunk of this run, or its seal, is being written.
    """

    __slots__ = ("_pieces", "base", "busy", "size")

    def __init__(self, run: str, last: int = -1, attempt: int = 0) -> None:
        super().__init__(run, last, attempt)
        self.base = last + 1
        self.size = 0
        self.busy = False
        self._pieces: list[Piece] = []

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do for this run but to wait for its next frame."""
        return (
            not self.finished and self.last - self.base < TAIL_EVENTS - 1 and self.size < TAIL_BYTES
        )

    @property
    def oldest(self) -> int | None:
        """The first segment that holds a part of the tail, or None for an empty tail."""
        return next((piece.segment for piece in self._pieces if piece.segment), None)

    def keep(self, piece: Piece) -> None:
        """Add a frame that is in a segment. Events between the last frame and this one are lost."""
        due = self._pieces[-1].last + 1 if self._pieces else self.base
        if piece.first > due:
            self._pieces.append(lost_piece(due, piece.first - 1))
        self._pieces.append(piece)
        self.size += piece.size

    def tail(self, most: int) -> list[Piece]:
        """The pieces from `base` on: at least one, and no more than have `most` bytes."""
        size = 0
        for count, piece in enumerate(self._pieces):
            size += piece.size
            if count and size > most:
                return self._pieces[:count]
        return self._pieces.copy()

    def cut(self, count: int) -> None:
        """Remove the oldest pieces: they are in chunks now."""
        self.size -= sum(piece.size for piece in self._pieces[:count])
        del self._pieces[:count]
        self.base = self._pieces[0].first if self._pieces else self.last + 1

    def slice(self, after: int) -> Sequence[Piece]:
        """The pieces with the events beyond `after`, which is `base - 1` or later: as many as a chunk
        takes."""
        if after >= self.last:
            return ()
        pieces = self._pieces
        start = bisect_right(pieces, after + 1, key=_first) - 1
        end, size = start, 0
        while end < len(pieces):
            size += pieces[end].size
            if end > start and (
                size > CHUNK_BYTES or pieces[end].first - pieces[start].first >= CHUNK_EVENTS
            ):
                break
            end += 1
        return pieces[start:end]


def _first(piece: Piece) -> int:
    return piece.first
