"""Content blocks one after the other, however the run interleaves them.

Every measured client wants contiguous indexes, and some lose text when two blocks are open at once. So one
block streams, and what comes meanwhile for others waits. Blocks stand in *places*, one an item, and an
agent's places keep their order: what it says after a call waits until the call is whole. Agents who speak
at once take turns.
"""

from __future__ import annotations

from collections import deque

from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json

_STOP = b""


class BlockSlot:
    """Where the blocks of one item stand: whose it is, what waits for its turn, whether it has ended."""

    __slots__ = ("ended", "number", "source", "waiting")

    def __init__(self, number: int, source: str) -> None:
        self.number = number
        self.source = source
        self.waiting: list[bytes | tuple[Object, bytes]] = []
        self.ended = False


class Blocks:
    """The blocks of one message. `take` hands out the frames that came since it was last called."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._count = 0
        self._head = b""
        self._current: BlockSlot | None = None
        self._places = 0
        self._queues: dict[str, deque[BlockSlot]] = {}

    def take(self) -> list[bytes]:
        """The new frames."""
        frames, self.frames = self.frames, []
        return frames

    def reserve(self, source: str) -> BlockSlot:
        """A place behind those of `source` that are there."""
        place = BlockSlot(self._places, source)
        self._places += 1
        self._queues.setdefault(source, deque()).append(place)
        return place

    def start(self, place: BlockSlot, start: Object, extra: bytes = b"") -> None:
        """A block begins in its place; `extra` is what its start says besides."""
        if place is self._current:
            self._start(start, extra)
        else:
            place.waiting.append((start, extra))
            self._next()

    def delta(self, place: BlockSlot, delta: bytes) -> None:
        """A piece of the block: `delta` is the event's `delta` as JSON."""
        if place is self._current:
            self.frames.append(b"%b%b}\n\n" % (self._head, delta))
        else:
            place.waiting.append(delta)

    def stop(self, place: BlockSlot) -> None:
        """The block is whole; another may follow in its place."""
        if place is self._current:
            self._stop()
        else:
            place.waiting.append(_STOP)

    def leave(self, place: BlockSlot) -> None:
        """Nothing more comes in this place."""
        place.ended = True
        if place is self._current:
            self._current = None
        self._next()

    def whole(self, place: BlockSlot, start: Object, *deltas: Object, extra: bytes = b"") -> None:
        """A block all at once."""
        self.start(place, start, extra)
        for delta in deltas:
            self.delta(place, _json(delta))
        self.stop(place)

    def _next(self) -> None:
        """Whose turn it is, while nobody speaks."""
        while self._current is None and (place := self._ready()) is not None:
            queue = self._queues[place.source]
            queue.popleft()
            if not queue:
                del self._queues[place.source]
            for frame in place.waiting:
                if isinstance(frame, tuple):
                    self._start(*frame)
                elif frame is _STOP:
                    self._stop()
                else:
                    self.frames.append(b"%b%b}\n\n" % (self._head, frame))
            place.waiting = []
            if not place.ended:
                self._current = place

    def _ready(self) -> BlockSlot | None:
        """Of the agents' next places the first in which something stands, or nothing ever will."""
        heads = (queue[0] for queue in self._queues.values())
        ready = (place for place in heads if place.waiting or place.ended)
        return min(ready, key=lambda place: place.number, default=None)

    def _start(self, start: Object, extra: bytes) -> None:
        self.frames.append(
            b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,'
            b'"content_block":%b%b}\n\n' % (self._count, _json(start), extra)
        )
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
            % self._count
        )

    def _stop(self) -> None:
        self.frames.append(
            b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
            % self._count
        )
        self._count += 1
