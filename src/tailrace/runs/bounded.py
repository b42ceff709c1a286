"""The maximum size of a run: events of a runtime go to the writer until it is reached.

Only the output of agents is counted here. The end of the run and answers of people are added to the writer
directly, so they always fit. The log is counted: its events, its bytes, and the bytes that open items will
add when they close, because their content is then written once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from tailrace.errors import LimitReached
from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.events.stored import EMPTY_EVENT, weight
from tailrace.runs.writer import RunWriter

EVENT_BYTES = 16_777_216
"""Maximum size of one event; the item that it closes may contain what a model server sent in one piece."""

Stop = Callable[[str], None]
"""Called with the limit that is reached."""


class RunBounds(Struct, frozen=True, kw_only=True):
    """`events` and `bytes` of a run's log, `open_bytes` and `open_items` of what is open at one time: each
    open item is closed when the run ends, and a cancel waits for that. 0 is no limit."""

    events: int = 1_000_000
    bytes: int = 268_435_456
    open_bytes: int = 16_777_216
    open_items: int = 4_096


class BoundedSink:
    """A run's writer as its runtime sees it (`runtimes.contract.Sink`)."""

    def __init__(self, writer: RunWriter, bounds: RunBounds, stop: Stop) -> None:
        self.state: RunState = writer.state
        self.now = writer.now
        self.room = writer.room
        self.flush = writer.flush
        self._writer = writer
        self._bounds = bounds
        self._stop = stop
        self._open: dict[int, int] = {}
        self._closing_bytes = 0

    @property
    def full(self) -> bool:
        """Whether the agent should wait for `room`."""
        return self._writer.full

    def add(self, drafts: Sequence[t.Draft]) -> None:
        """Add drafts, up to the limit. Raises `LimitReached` for the first that exceeds it, and as the
        writer does."""
        sizes = [weight(draft.payload) for draft in drafts]
        total = sum(sizes)
        items = sum(isinstance(draft.payload, t.ItemStarted) for draft in drafts)
        if total <= EVENT_BYTES and not self._beyond(len(drafts), total, total, items):
            self._writer.add(drafts)
            for draft, size in zip(drafts, sizes, strict=True):
                self._count(draft.payload, size)
            return
        for draft, size in zip(drafts, sizes, strict=True):
            if reason := self._fault(draft.payload, size):
                self._stop(reason)
                raise LimitReached(reason)
            self._writer.add([draft])
            self._count(draft.payload, size)

    def _fault(self, payload: t.Payload, size: int) -> str:
        """The limit that one more event would exceed, or `""`."""
        if size > EVENT_BYTES and not isinstance(payload, t.ItemCompleted):
            return "max_event_bytes"
        items = isinstance(payload, t.ItemStarted)
        return self._beyond(1, size, size if isinstance(payload, CONTENT_EVENTS) else 0, items)

    def _beyond(self, events: int, size: int, again: int, items: int) -> str:
        """The limit that these bytes would exceed, with those that are written again at the close, or
        `""`."""
        bounds, state = self._bounds, self.state
        if bounds.events and state.seq + 1 + events > bounds.events:
            return "max_run_events"
        if bounds.bytes and state.size + self._closing_bytes + size + again > bounds.bytes:
            return "max_run_bytes"
        if bounds.open_bytes and self._closing_bytes + again > bounds.open_bytes:
            return "max_reply_bytes"
        if bounds.open_items and len(state.open) + items > bounds.open_items:
            return "max_open_items"
        return ""

    def _count(self, payload: t.Payload, size: int) -> None:
        if isinstance(payload, CONTENT_EVENTS):
            more = max(size - EMPTY_EVENT, 0)
            self._open[payload.item] = self._open.get(payload.item, 0) + more
            self._closing_bytes += more
        elif isinstance(payload, t.ItemCompleted):
            self._closing_bytes -= self._open.pop(payload.item, 0)


CONTENT_EVENTS = (
    t.TextDelta,
    t.RefusalDelta,
    t.ReasoningDelta,
    t.ReasoningSummaryDelta,
    t.ArgumentsDelta,
    t.AnnotationAdded,
)
"""The bytes of an item's content when it closes."""
