"""One reader of a run's frames: it replays the log, joins the live projection, and falls back to the log.

Three modes. *Replaying*: frames come from the log through the reader's own encoder. *Joined*: they come from
the shared projection. *Alone*: a reader that once fell out of the projection's window reads the log at its
own pace until the end, so a slow client costs one encoder, and other readers nothing. Encoders are
deterministic, so the bytes are the same in all three modes.

The hand-over from *replaying* to *joined* leaves no gap: the reader joins after a read of the log that found
nothing new; the projection that it joins either covers its position, or starts with its encoder at its
position and then reads whatever became durable before the watch began (`Projection.catch_up`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tailrace.errors import BadRequest
from tailrace.events.types import Event
from tailrace.service.memory import collector
from tailrace.service.projection import Encoders, Key, Projection, Projections

DirectWrite = Callable[[bytes], bool]
"""Write whole frames to the client now; False when the client is not ready to take them."""


class Subscription:
    """The frames of one run from number `first` on. Call `next` in a loop, and `close` at the end.

    `is_dropped` becomes true when the run is deleted or expires meanwhile: the frames are incomplete.
    `position` is the number of the client's next frame; the last `marks` frames of a run have no number that
    a client can have. `direct`, if set, is called with frames while `next` waits, so that no task has to wake
    up for them.
    """

    def __init__(
        self, projections: Projections, key: Key, encoders: Encoders, first: int = 0
    ) -> None:
        self.position = self._first = first
        self.marks = 0
        self.direct: DirectWrite | None = None
        self._projections = projections
        self._key = key
        self._encoders = encoders
        self._encoder = encoders()
        self._seq = -1
        self._count = 0
        self._bytes = 0
        self._at_end = False
        self._idle = False
        self._interrupted = self._stepping = False
        self.is_dropped = False
        self._alone: Callable[[], None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._first_data = b""
        projection = projections.find(key)
        joinable = projection is not None and projection.base <= first <= projection.end
        self._projection = projection if joinable else None
        if self._projection is not None:
            self._projection.listeners.add(self)

    async def prime(self, param: str) -> None:
        """Read up to the first frame, so that a bad cursor in the request's `param` is found before the reply
        begins.

        Raises `BadRequest` if the run has no frame before `first` yet: no client can have it.
        """
        while not self._first_data and not self._at_end and not self._idle:
            self._first_data = await self._step()
        count = self._projection.end if self._projection is not None else self._count
        at_end = self._at_end or (self._projection is not None and self._projection.done)
        count -= self.marks if at_end else 0
        if self._first > count:
            raise BadRequest(
                f"The run has {count} events so far; none can follow number {self._first - 1}.",
                param=param,
            )

    async def next(self) -> bytes | None:
        """The next whole frames, joined; None after the last; `b""` when interrupted."""
        data, self._first_data = self._first_data, b""
        while not data:
            if self._interrupted:
                self._interrupted = False
                return b""
            if self._at_end or self.is_dropped:
                return None
            if self._idle:
                await self._sleep()
            else:
                self._stepping = True
                try:
                    data = await self._step()
                finally:
                    self._stepping = False
        return data

    @property
    def waiting(self) -> bool:
        """Whether `next` waits for events or for the log."""
        return self._stepping or self._asleep

    @property
    def _asleep(self) -> bool:
        return self._wake is not None and not self._wake.done()

    def interrupt(self) -> None:
        """Make the current or the next call of `next` return `b""`."""
        self._interrupted = True
        self._rouse()

    def close(self) -> None:
        """Stop reading."""
        collector.count(self._bytes)  # an encoder and its items refer to each other
        self._bytes = 0
        self.direct = None
        if self._projection is not None:
            self._projections.leave(self._key, self._projection, self)
            self._projection = None
        if self._alone is not None:
            self._alone()
            self._alone = None

    def frames_ready(self, first: int, data: bytes) -> None:
        """The projection has new frames (see `projection.Listener`)."""
        projection = self._projection
        if (
            projection is not None
            and not projection.done
            and self.position == first
            and self.direct is not None
            and self._asleep
            and self.direct(data)
        ):
            self.position = projection.end
        else:
            self._rouse()

    def run_dropped(self) -> None:
        """The run's log is gone (see `projection.Listener`)."""
        self.is_dropped = True
        self._rouse()

    def _on_events(self, events: Sequence[Event]) -> None:
        if events:
            self._rouse()
        else:
            self.run_dropped()

    def _rouse(self) -> None:
        self._idle = False
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _sleep(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    async def _step(self) -> bytes:
        """The next frames, or `b""` after a step without any; sets `_idle` when there is no next step."""
        if self._projection is not None:
            return self._from_projection(self._projection)
        self._idle = self._alone is not None  # a watch that fires during the read resets this
        events = await self._projections.log.read(self._key[0], self._seq)
        if events:
            self._idle = False
            return self._encode(events)
        if self._alone is None:
            await self._join()
        return b""

    def _encode(self, events: Sequence[Event]) -> bytes:
        self._seq = events[-1].seq
        frames = self._encoder.encode(events)
        self._at_end = self._encoder.done
        skip = max(self.position - self._count, 0)
        self._count += len(frames)
        self.position = max(self.position, self._count)
        data = b"".join(frames[skip:])
        self._bytes += len(data)
        return data

    async def _join(self) -> None:
        """Join the projection after the end of the log was read, or begin it."""
        projection = self._projections.find(self._key)
        if projection is None:
            projection = self._projections.begin(self._key, self._encoder, self._count, self._seq)
        elif not projection.base <= self._count <= projection.end:
            return  # its window has moved on meanwhile: read the log again
        self._projection = projection
        projection.listeners.add(self)
        await projection.catch_up()
        if self._seq >= 0 and not await self._projections.log.read(self._key[0], -1):
            self.is_dropped = True  # it was deleted before the watch began

    def _from_projection(self, projection: Projection) -> bytes:
        data = projection.take(self.position)
        if data is None:
            self._fall_behind()
            return b""
        self.position = max(self.position, projection.end)
        self._at_end = projection.done
        self._idle = not data
        return data

    def _fall_behind(self) -> None:
        """Fallen out of the window: begin again with an own encoder, and stay alone."""
        self.close()
        self._encoder, self._seq, self._count = self._encoders(), -1, 0
        self._alone = self._projections.log.watch(self._key[0], self._on_events)
