"""One reader's way through a run's frames: replay what it missed, join the live ones, fall back.

Three situations. *Replaying*: frames come from the log through the reader's own encoder. *Joined*: they
come from the shared projection. *Alone*: a reader that once fell out of the projection's window reads
the log at its own pace for good, so a slow client costs itself an encoder and nobody anything else.
Encoders are deterministic, so the bytes are the same in all three.
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
    """The frames of one run from number `first` on. Call `next` in a loop, `close` in the end.

    `dropped` turns true when the run was deleted or expired on the way: what came is not the whole.
    `position` is the number of the next frame the client gets; `marks` frames at the end of the run have no
    number that anybody can have seen. `direct`, where given, is called with
    frames while `next` waits, so that no task has to wake up for them.
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
        self._ended = False
        self._idle = False
        self._interrupted = self._stepping = False
        self.dropped = False
        self._alone: Callable[[], None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._primed = b""
        shared = projections.find(key)
        joinable = shared is not None and shared.base <= first <= shared.end
        self._joined = shared if joinable else None
        if self._joined is not None:
            self._joined.listeners.add(self)

    async def prime(self, param: str) -> None:
        """Get ready for `next`, so that a bad cursor, which `param` is, is known before any reply has begun.

        Raises `BadRequest` when the run has no frame before `first` yet: nobody can have seen it.
        """
        while not self._primed and not self._ended and not self._idle:
            self._primed = await self._step()
        known = self._joined.end if self._joined is not None else self._count
        ended = self._ended or (self._joined is not None and self._joined.done)
        known -= self.marks if ended else 0
        if self._first > known:
            raise BadRequest(
                f"The run has {known} events so far; none can follow number {self._first - 1}.",
                param=param,
            )

    async def next(self) -> bytes | None:
        """The next whole frames, joined; None after the last; `b""` when interrupted."""
        data, self._primed = self._primed, b""
        while not data:
            if self._interrupted:
                self._interrupted = False
                return b""
            if self._ended or self.dropped:
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
        """Whether `next` waits for something to happen, or for the log to answer."""
        return self._stepping or self._asleep

    @property
    def _asleep(self) -> bool:
        return self._wake is not None and not self._wake.done()

    def interrupt(self) -> None:
        """Make `next` return `b""`, now or when it is called."""
        self._interrupted = True
        self._rouse()

    def close(self) -> None:
        """Leave."""
        collector.count(self._bytes)  # an encoder and its items refer to each other
        self._bytes = 0
        self.direct = None
        if self._joined is not None:
            self._projections.leave(self._key, self._joined, self)
            self._joined = None
        if self._alone is not None:
            self._alone()
            self._alone = None

    def frames_ready(self, first: int, data: bytes) -> None:
        """The projection has new frames (see `projection.Listener`)."""
        joined = self._joined
        if (
            joined is not None
            and not joined.done
            and self.position == first
            and self.direct is not None
            and self._asleep
            and self.direct(data)
        ):
            self.position = joined.end
        else:
            self._rouse()

    def run_dropped(self) -> None:
        """The run's log is gone (see `projection.Listener`)."""
        self.dropped = True
        self._rouse()

    def _heard(self, events: Sequence[Event]) -> None:
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
        """Some frames, or `b""` after a step that brought none; `_idle` when there is no next step."""
        if self._joined is not None:
            return self._from_projection(self._joined)
        self._idle = self._alone is not None  # a watch that fires during the read undoes this
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
        self._ended = self._encoder.done
        skip = max(self.position - self._count, 0)
        self._count += len(frames)
        self.position = max(self.position, self._count)
        data = b"".join(frames[skip:])
        self._bytes += len(data)
        return data

    async def _join(self) -> None:
        """Caught up with the log: go on with the others, or be the first."""
        shared = self._projections.find(self._key)
        if shared is None:
            shared = self._projections.begin(self._key, self._encoder, self._count, self._seq)
        elif not shared.base <= self._count <= shared.end:
            return  # it has moved on meanwhile: read on
        self._joined = shared
        shared.listeners.add(self)
        await shared.catch_up()
        if self._seq >= 0 and not await self._projections.log.read(self._key[0], -1):
            self.dropped = True  # before anybody watched

    def _from_projection(self, shared: Projection) -> bytes:
        data = shared.take(self.position)
        if data is None:
            self._fall_behind()
            return b""
        self.position = max(self.position, shared.end)
        self._ended = shared.done
        self._idle = not data
        return data

    def _fall_behind(self) -> None:
        """Too slow for the window: start over with an encoder of one's own, and stay alone."""
        self.close()
        self._encoder, self._seq, self._count = self._encoders(), -1, 0
        self._alone = self._projections.log.watch(self._key[0], self._heard)
