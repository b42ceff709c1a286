"""The watches of runs: each listener gets every frame once, in order.

A run's frames are published on a plain subject when they are stored. That is fast and best effort, so every
tail also reads the stream: when a frame is missing before the received one, and when none was received for
`IDLE_SECONDS`. Frames that this process appended are delivered directly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from tailrace.errors import LogError
from tailrace.events.types import Event
from tailrace.log.contract import Listener
from tailrace.log.stores.nats import frames
from tailrace.log.stores.nats.client import Client, Headers
from tailrace.log.stores.nats.frames import StoredFrame
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.watchers import Watchers

logger = logging.getLogger("tailrace.log.nats")

IDLE_SECONDS = 3.0
LAG_SECONDS = 0.01
"""A replica may be this far behind, or a few times that."""
DROPPED = "Tailrace-Dropped"


class Tail:
    """One watched run. `seq` and `place` are those of the last delivered frame."""

    def __init__(self, tails: Tails, run: str, seq: int, place: int) -> None:
        self.seq = seq
        self.place = place
        self._tails = tails
        self._run = run
        self._ahead = place
        self._dropped = False
        self._news = asyncio.Event()
        self._following = asyncio.create_task(self._follow())

    def land(self, frame: StoredFrame, events: Sequence[Event] | None = None) -> None:
        """A frame is in the stream; deliver it if it is the next one, else read the missing ones."""
        if frame.place <= self.place or self._dropped:
            return
        if frame.first > self.seq + 1:
            self._ahead = max(self._ahead, frame.place)
            self._news.set()
            return
        fresh = events if events is not None else frame.events()
        known_count = self.seq + 1 - frame.first
        self.seq, self.place = max(self.seq, frame.last), frame.place
        self._news.set()
        if fresh[known_count:]:
            self._tails.watchers.tell(self._run, fresh[known_count:])

    def drop(self) -> None:
        """Report that the run's log is gone, as the last notification."""
        if not self._dropped:
            self._dropped = True
            self._tails.watchers.tell(self._run, ())

    def close(self) -> None:
        """Stop: it has no listener."""
        self._following.cancel()

    async def _follow(self) -> None:
        client, live = self._tails.client, self._tails.layout.live(self._run)
        stop: Callable[[], Awaitable[None]] = await client.insist(
            lambda: client.listen(live, self._on_message)
        )
        try:
            while not self._dropped:
                try:
                    await client.insist(self._look)
                except LogError as error:
                    # no stream, or unreadable data: both may be temporary
                    logger.warning("run %s: no news of it: %s", self._run, error)
                    self._ahead = self.place
                self._news.clear()
                try:
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._until_behind()
                except TimeoutError:
                    continue
        finally:
            await asyncio.shield(stop())

    async def _until_behind(self) -> None:
        """Wait for a frame that does not follow the last one; those that follow were delivered already."""
        while self._ahead <= self.place:
            await self._news.wait()
            self._news.clear()

    async def _look(self) -> None:
        """Deliver the frames of the stream that were not delivered. Raises `Unreachable`."""
        client, layout = self._tails.client, self._tails.layout
        start = self.place
        end = await frames.last(client, layout, self._run)
        while end is not None and self.place < end.place:
            stored_frames = await frames.after(client, layout, self._run, self.place)
            if stored_frames and stored_frames[0].first > self.seq + 1:
                self.drop()  # frames are gone that were not delivered: the log no longer exists
                return
            for stored_frame in stored_frames:
                self.land(stored_frame)
            if not stored_frames:
                await asyncio.sleep(LAG_SECONDS)
                end = await frames.last(client, layout, self._run)
        if end is None:
            self._ahead = self.place
            if start and start == self.place:  # otherwise it came after the request
                self.drop()

    def _on_message(self, headers: Headers, body: bytes) -> None:
        if DROPPED in headers:
            self.drop()
        else:
            self.land(frames.unpack(headers, body))


class Tails:
    """The watched runs of this process."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self.client = client
        self.layout = layout
        self.watchers = Watchers()
        self._tails: dict[str, Tail] = {}
        self._watcher_counts: dict[str, int] = {}

    def watch(self, run: str, listener: Listener, seq: int, place: int) -> Callable[[], None]:
        """Call `listener` with the frames after event `seq`, whose frame is at `place`."""
        stop_telling = self.watchers.watch(run, listener)
        self._watcher_counts[run] = self._watcher_counts.get(run, 0) + 1
        if run not in self._tails:
            self._tails[run] = Tail(self, run, seq, place)
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stop_telling()
            if not stopped:
                stopped = True
                self._leave(run)

        return stop

    def land(self, run: str, frame: StoredFrame, events: Sequence[Event]) -> None:
        """This process has appended a frame."""
        tail = self._tails.get(run)
        if tail is not None:
            tail.land(frame, events)

    def drop(self, run: str) -> None:
        """A run's log is gone."""
        tail = self._tails.get(run)
        if tail is not None:
            tail.drop()

    def close(self) -> None:
        """Stop following."""
        for tail in self._tails.values():
            tail.close()

    def _leave(self, run: str) -> None:
        self._watcher_counts[run] -= 1
        if not self._watcher_counts[run]:
            del self._watcher_counts[run]
            self._tails.pop(run).close()
