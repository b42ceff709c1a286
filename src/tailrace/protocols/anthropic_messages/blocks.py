"""Content blocks one after the other, however the run interleaves them.

Every measured client wants contiguous indexes, and some lose text when two blocks are open at once. So one
block streams, and what comes meanwhile for others waits until it has ended.
"""

from __future__ import annotations

from collections import deque

from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json


class Block:
    """A content block: how it starts, what waits for its turn, whether it has ended."""

    __slots__ = ("ended", "extra", "head", "start", "waiting")

    def __init__(self, start: Object, extra: bytes) -> None:
        self.start = start
        self.extra = extra
        self.head = b""
        self.waiting: list[bytes] = []
        self.ended = False


class Blocks:
    """The blocks of one message. `take` hands out the frames that came since it was last called."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._count = 0
        self._current: Block | None = None
        self._queue: deque[Block] = deque()

    def take(self) -> list[bytes]:
        """The new frames."""
        frames, self.frames = self.frames, []
        return frames

    def open(self, start: Object, extra: bytes = b"") -> Block:
        """A new block, behind those that are there; `extra` is what its start says besides."""
        block = Block(start, extra)
        if self._current is None:
            self._begin(block)
        else:
            self._queue.append(block)
        return block

    def delta(self, block: Block, delta: bytes) -> None:
        """A piece of a block: `delta` is the event's `delta` as JSON."""
        if block is self._current:
            self.frames.append(b"%b%b}\n\n" % (block.head, delta))
        else:
            block.waiting.append(delta)

    def end(self, block: Block) -> None:
        """The block is whole."""
        block.ended = True
        if block is not self._current:
            return
        self._stop()
        while self._queue and self._current is None:
            self._begin(self._queue.popleft())

    def whole(self, start: Object, *deltas: Object, extra: bytes = b"") -> None:
        """A block all at once."""
        block = self.open(start, extra)
        for delta in deltas:
            self.delta(block, _json(delta))
        self.end(block)

    def _begin(self, block: Block) -> None:
        self._current = block
        self.frames.append(
            b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,'
            b'"content_block":%b%b}\n\n' % (self._count, _json(block.start), block.extra)
        )
        block.head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
            % self._count
        )
        self.frames += [b"%b%b}\n\n" % (block.head, delta) for delta in block.waiting]
        block.waiting = []
        if block.ended:
            self._stop()

    def _stop(self) -> None:
        self.frames.append(
            b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
            % self._count
        )
        self._count += 1
        self._current = None
