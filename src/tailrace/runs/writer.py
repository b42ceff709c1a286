"""The single writer of a run: numbers events, gives them their time, checks the grammar, appends.

Drafts pass through the fold at once, so that the runtime reads its own writes, and reach the log in frames.
One append is in flight; meanwhile the next frame gathers. That is group commit per run, and the reason for
the store's rule of one append per run: if frame n fails, frame n + 1 has not been sent, so a log never has
a gap. Readers see only what the log has acknowledged, so what a client was shown is always on disk.

Single writer is enforced by the log, not by this class: each append carries the sequence number that it
follows and the attempt (`log/stores/claim.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tailrace.errors import LogError
from tailrace.events.state import RunState
from tailrace.events.stored import Frame, join_lines, line, without_surrogates
from tailrace.events.types import Draft, Event
from tailrace.log.contract import EventLog

FRAME_EVENTS = 256
FRAME_BYTES = 1_048_576
"""Maximum size of one append, so that a fast agent's frames stay far below a store's limits, and of the
events that wait for the next one before the agent has to wait. A larger event has a frame of its own."""

Clock = Callable[[], int]
"""Milliseconds since the epoch."""

Begin = Callable[[Frame], Awaitable[None]]


class RunWriter:
    """Writes one run's log. Use from the event loop only.

    After a failed append the writer is dead: `add` and the waits raise the log's error (`Fenced`,
    `LogError`), and events that were not acknowledged are never seen by a reader.
    """

    def __init__(
        self, log: EventLog, run: str, state: RunState, clock: Clock, begin: Begin | None = None
    ) -> None:
        """`begin` writes the first frame of a new run, with its records."""
        self._begin = begin
        self.state = state
        self._log = log
        self._run = run
        self._clock = clock
        self._durable = self._sent_seq = state.seq
        self._waiting: list[Event] = []
        self._lines: list[bytes] = []
        self._size = 0
        self._in_flight = False
        self._failure: LogError | None = None
        self._acknowledgement: asyncio.Future[None] | None = None
        self.halt: BaseException | None = None
        """The error that the next `add` raises, so that its caller stops."""

    @property
    def full(self) -> bool:
        """Whether the agent should wait (`room`) before it yields more."""
        return len(self._waiting) >= FRAME_EVENTS or self._size >= FRAME_BYTES

    def now(self) -> int:
        """The time that the next event would get. Within a run it does not decrease, even if the clock of
        its worker is behind those of earlier ones, so that no event is before its predecessor."""
        return max(self._clock(), self.state.now)

    def add(self, drafts: Sequence[Draft], at: int | None = None) -> None:
        """Add drafts, `at` a time in milliseconds, now by default. Raises `IllegalEvent` at the first
        illegal one; those before it are kept."""
        if self._failure is not None:
            raise self._failure
        if self.halt is not None:
            raise self.halt
        now = self.now() if at is None else at
        try:
            for draft in drafts:
                self._take(self.state.advance(draft, now))
        finally:
            if not self._in_flight:
                self._send()

    async def room(self) -> None:
        """Wait until the next frame is not full."""
        while self.full:
            await self._next_acknowledgement()

    async def flush(self) -> None:
        """Wait until all that was added is durable."""
        last = self.state.seq
        while self._durable < last:
            await self._next_acknowledgement()

    def _take(self, event: Event) -> None:
        try:
            data = line(event)
        except UnicodeEncodeError:
            event = without_surrogates(event)
            data = line(event)
        self._waiting.append(event)
        self._lines.append(data)
        self._size += len(data)
        self.state.size += len(data)

    def _send(self) -> None:
        if not self._waiting:
            return
        count = self._fitting()
        events, lines = self._waiting[:count], self._lines[:count]
        del self._waiting[:count], self._lines[:count]
        batch = join_lines(events, lines)
        self._size -= sum(map(len, lines))
        self._in_flight = True
        self._sent_seq = batch.last
        append = self._append(batch)
        asyncio.ensure_future(append).add_done_callback(self._on_append)

    def _fitting(self) -> int:
        """The number of waiting events in the next frame: at least one."""
        if self._size <= FRAME_BYTES:
            return FRAME_EVENTS
        size = count = 0
        for data in self._lines[:FRAME_EVENTS]:
            size += len(data)
            if size > FRAME_BYTES and count:
                break
            count += 1
        return count

    def _append(self, batch: Frame) -> Awaitable[None]:
        begin, self._begin = self._begin, None
        if begin is not None:
            return begin(batch)
        return self._log.append(
            self._run, batch, expected=self._durable, attempt=self.state.attempt
        )

    def _on_append(self, append: asyncio.Future[None]) -> None:
        self._in_flight = False
        error = LogError("the append was cancelled") if append.cancelled() else append.exception()
        if error is None:
            self._durable = self._sent_seq
            self._send()
        else:
            self._failure = error if isinstance(error, LogError) else LogError(str(error))
            self._waiting.clear()
            self._lines.clear()
            self._size = 0
        waiter, self._acknowledgement = self._acknowledgement, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _next_acknowledgement(self) -> None:
        if self._failure is None:
            if self._acknowledgement is None:
                self._acknowledgement = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._acknowledgement)
        if self._failure is not None:
            raise self._failure
