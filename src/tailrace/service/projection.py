"""One encoder for all live readers of (run, surface, options): its frames, and the window it keeps.

A projection is fed by the log's `watch`, encodes each event once, and wakes its readers. It remembers
the latest frames only (`WINDOW_BYTES`); a reader that falls further behind goes back to the log
(`subscription.py`). Readers of the same position share the same bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from tailrace.errors import LogError
from tailrace.events.types import Event
from tailrace.log.contract import EventLog, Store
from tailrace.protocols.contract import StreamEncoder
from tailrace.service.memory import collector

logger = logging.getLogger("tailrace.http")

REFILL_SECONDS = 1.0
"""Delay before a failed read of the log is repeated."""
WINDOW_BYTES = 8_192
"""Bytes of frames that a projection keeps, besides the newest batch, for readers that are a little late. Each
live run with a reader takes this memory; a reader further behind reads the log."""


class Listener(Protocol):
    """A live reader."""

    def frames_ready(self, first: int, data: bytes) -> None:
        """New frames exist from number `first` on; `data` is the new ones, joined."""
        ...

    def run_dropped(self) -> None:
        """The run's log is gone: no frame follows."""
        ...


class Projection:
    """Encoded frames of one run, growing at the end.

    `base` is the number of the first frame kept, `end` the number of the next frame to come.
    """

    def __init__(self, log: EventLog, run: str, encoder: StreamEncoder, end: int, seq: int) -> None:
        self.base = self.end = end
        self.done = False
        self.is_dropped = False
        self.listeners: set[Listener] = set()
        self._log = log
        self._run = run
        self._encoder = encoder
        self._seq = seq
        self._frames: list[bytes] = []
        self._size = self._bytes = 0
        self._early: list[Event] = []
        self._refilling: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], None] | None = log.watch(run, self._take)

    async def catch_up(self) -> None:
        """Encode the events that became durable before the watch began."""
        while not self.done:
            events = await self._log.read(self._run, self._seq)
            if not events:
                break
            self._take(events)

    def close(self) -> None:
        """Stop following the log."""
        collector.count(self._bytes)
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None  # it refers to this projection: no reference cycle
        if self._refilling is not None:
            self._refilling.cancel()

    def take(self, first: int) -> bytes | None:
        """All frames from number `first` on, joined; None if they were dropped."""
        if first < self.base:
            return None
        return b"".join(self._frames[first - self.base :])

    def _take(self, events: Sequence[Event]) -> None:
        if not events:
            self.is_dropped = True
            for listener in tuple(self.listeners):
                listener.run_dropped()
            return
        if events[0].seq <= self._seq or self._early:
            in_order = sorted((*self._early, *events), key=lambda event: event.seq)
            events, self._early = _contiguous(in_order, self._seq)
        elif events[0].seq != self._seq + 1:
            self._early = list(events)
            events = ()
        if self._early and self._refilling is None:
            self._refilling = asyncio.create_task(self._refill())
        if events:
            self._encode(events)

    def _encode(self, events: Sequence[Event]) -> None:
        self._seq = events[-1].seq
        frames = self._encoder.encode(events)
        self.done = self._encoder.done
        if not frames:
            return  # no frame on this surface; an empty write would end a chunked body
        first = self.end
        self.end += len(frames)
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self._frames += frames
        self._size += len(data)
        self._bytes += len(data)
        if self._size > WINDOW_BYTES:
            self._shrink(len(self._frames) - len(frames))
        for listener in tuple(self.listeners):
            listener.frames_ready(first, data)

    def _shrink(self, old: int) -> None:
        """Drop the older half of the window, but only frames among the first `old`."""
        drop = 0
        while self._size > WINDOW_BYTES // 2 and drop < old:
            self._size -= len(self._frames[drop])
            drop += 1
        del self._frames[:drop]
        self.base += drop

    async def _refill(self) -> None:
        """The watch left out events: read them from the log, as soon as it can be read."""
        try:
            while self._early and not self.done:
                try:
                    await self.catch_up()
                except LogError as error:
                    logger.warning("run %s: omitted events cannot be read: %s", self._run, error)
                    await asyncio.sleep(REFILL_SECONDS)
        finally:
            self._refilling = None


def _contiguous(events: list[Event], seq: int) -> tuple[list[Event], list[Event]]:
    """Split sorted events into those that follow `seq` without a gap, and the rest; duplicates are
    dropped."""
    ready: list[Event] = []
    for index, event in enumerate(events):
        if event.seq == seq + 1:
            ready.append(event)
            seq = event.seq
        elif event.seq > seq:
            return ready, events[index:]
    return ready, []


Key = tuple[str, object]
Encoders = Callable[[], StreamEncoder]


class Projections:
    """The live projections of this process, by run and encoder options."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_key: dict[Key, Projection] = {}

    @property
    def log(self) -> EventLog:
        """The logs of the store, which must be open."""
        return self._store.log

    def find(self, key: Key) -> Projection | None:
        """The projection for `key`, if readers hold one."""
        return self._by_key.get(key)

    def begin(self, key: Key, encoder: StreamEncoder, end: int, seq: int) -> Projection:
        """A new projection that continues with `encoder` after frame `end` - 1 and event `seq`."""
        projection = Projection(self.log, key[0], encoder, end, seq)
        self._by_key[key] = projection
        return projection

    def leave(self, key: Key, projection: Projection, listener: Listener) -> None:
        """Remove a reader; the last one closes the projection."""
        projection.listeners.discard(listener)
        if not projection.listeners:
            projection.close()
            if self._by_key.get(key) is projection:
                del self._by_key[key]
