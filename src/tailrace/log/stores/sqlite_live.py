"""A run that has not been sealed: its claim, and the tail of its log that is in segments only.

The tail is kept as the bytes that are on disk, one piece a frame, and decoded when somebody reads. As
objects it would be three times as large, and readers that keep up are told by `watch` and never read.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence

from tailrace.events.stored import decode
from tailrace.events.types import Event
from tailrace.log.stores.claim import Claim
from tailrace.log.stores.sqlite_rows import CHUNK_BYTES, CHUNK_EVENTS

TAIL_EVENTS = 256
TAIL_BYTES = 262_144
"""A tail of this length is written as a chunk and let go of."""


class LiveRun(Claim):
    """Events before `base` are in chunks; those from `base` to `last` are in the tail.

    `busy` is true while a chunk of this run, or its seal, is on its way to the disk.
    """

    __slots__ = ("_bodies", "_firsts", "_segments", "base", "busy", "size")

    def __init__(self, run: str, last: int = -1, attempt: int = 0) -> None:
        super().__init__(run, last, attempt)
        self.base = last + 1
        self.size = 0
        self.busy = False
        self._firsts = array("q")
        self._segments = array("q")
        self._bodies: list[bytes] = []

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do for this run but to wait for its next frame."""
        return not self.ended and self.last - self.base < TAIL_EVENTS - 1 and self.size < TAIL_BYTES

    @property
    def oldest(self) -> int | None:
        """The first segment that holds a part of the tail, or None for an empty tail."""
        return self._segments[0] if self._segments else None

    def keep(self, first: int, body: bytes, segment: int) -> None:
        """Take in a frame that is in `segment`; its events become `last` by `landed`."""
        self._firsts.append(first)
        self._segments.append(segment)
        self._bodies.append(body)
        self.size += len(body)

    def tail(self) -> list[bytes]:
        """The frames' bodies from `base` on."""
        return self._bodies.copy()

    def cut(self, pieces: int) -> None:
        """Let go of the oldest pieces: a chunk holds them now."""
        del self._firsts[:pieces], self._segments[:pieces], self._bodies[:pieces]
        self.base = self._firsts[0] if self._firsts else self.last + 1
        self.size = sum(map(len, self._bodies))

    def read(self, after: int) -> Sequence[Event]:
        """Events of the tail beyond `after`, which is `base - 1` or later: as many as a chunk takes."""
        if after >= self.last:
            return ()
        start = bisect_right(self._firsts, after + 1) - 1
        end, size = start, 0
        while end < len(self._bodies):
            size += len(self._bodies[end])
            if end > start and (
                size > CHUNK_BYTES or self._firsts[end] - self._firsts[start] >= CHUNK_EVENTS
            ):
                break
            end += 1
        events = decode(b"\n".join(self._bodies[start:end]))
        return events[after + 1 - self._firsts[start] :]
