"""Puts the content blocks of a message in sequence, however the run interleaves them.

Every measured client requires contiguous indexes, and some lose text when two blocks are open at once. So
one block streams, and parts of others wait meanwhile. Each item has a *slot* for its blocks, and the slots
of one agent keep their order: text after a call waits until the call is complete. Agents that produce
output at the same time take turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from tailrace.protocols.anthropic_messages.sink import MessageSink
from tailrace.protocols.fields import Object


class BlockSlot:
    """The blocks of one item: its source, the calls of the sink that wait, whether it is closed."""

    __slots__ = ("closed", "number", "source", "waiting")

    def __init__(self, number: int, source: str) -> None:
        self.number = number
        self.source = source
        self.waiting: list[Callable[[], None]] = []
        self.closed = False


class Blocks:
    """The blocks of one message, in the order in which its sink gets them."""

    def __init__(self, sink: MessageSink) -> None:
        self._sink = sink
        self._current: BlockSlot | None = None
        self._count = 0
        self._queues: dict[str, deque[BlockSlot]] = {}

    def reserve(self, source: str) -> BlockSlot:
        """A new slot after the existing ones of `source`."""
        slot = BlockSlot(self._count, source)
        self._count += 1
        self._queues.setdefault(source, deque()).append(slot)
        return slot

    def start(self, slot: BlockSlot, block: Object, extension: Object) -> None:
        """Start a block in its slot; `extension` are fields of the event beside the block."""
        if slot is self._current:
            self._sink.start_block(block, extension)
        else:
            slot.waiting.append(partial(self._sink.start_block, block, extension))
            self._go_on()

    def add_text(self, slot: BlockSlot, field: str, text: str) -> None:
        """Add to the block's `text`, `thinking` or `signature`."""
        if slot is self._current:
            self._sink.add_text(field, text)
        else:
            slot.waiting.append(partial(self._sink.add_text, field, text))

    def add_delta(self, slot: BlockSlot, delta: Object) -> None:
        """Add any other delta to the block."""
        if slot is self._current:
            self._sink.add_delta(delta)
        else:
            slot.waiting.append(partial(self._sink.add_delta, delta))

    def stop(self, slot: BlockSlot) -> None:
        """Complete the block; another may follow in its slot."""
        if slot is self._current:
            self._sink.stop_block()
        else:
            slot.waiting.append(self._sink.stop_block)

    def add_whole(self, slot: BlockSlot, block: Object, extension: Object, *deltas: Object) -> None:
        """Add a complete block."""
        self.start(slot, block, extension)
        for delta in deltas:
            self.add_delta(slot, delta)
        self.stop(slot)

    def close(self, slot: BlockSlot) -> None:
        """Close the slot: no further block follows in it."""
        slot.closed = True
        if slot is self._current:
            self._current = None
        self._go_on()

    def _go_on(self) -> None:
        """Give the turn to the next slot, as long as no slot has it."""
        while self._current is None and (slot := self._ready()) is not None:
            queue = self._queues[slot.source]
            queue.popleft()
            if not queue:
                del self._queues[slot.source]
            for call in slot.waiting:
                call()
            slot.waiting = []
            if not slot.closed:
                self._current = slot

    def _ready(self) -> BlockSlot | None:
        """The first of the agents' next slots that has something to show, or is closed."""
        heads = (queue[0] for queue in self._queues.values())
        ready = (slot for slot in heads if slot.waiting or slot.closed)
        return min(ready, key=lambda slot: slot.number, default=None)
