"""Reads a run from any point to its end: stored events, then live ones, without a gap or a duplicate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from tailrace.events.types import Event, RunEnd
from tailrace.log.contract import EventLog


async def follow(log: EventLog, run: str, after: int) -> AsyncGenerator[Sequence[Event], None]:
    """Batches of the run's durable events with `seq > after`, until the one with its end, or until the log
    is dropped.

    Reads by cursor: no events are buffered for the caller. The watch only signals that there are more, and
    it is set before the read that finds nothing, so no event is missed.
    """
    more = asyncio.Event()
    dropped = False

    def on_events(events: Sequence[Event]) -> None:
        nonlocal dropped
        dropped = dropped or not events
        more.set()

    stop = log.watch(run, on_events)
    try:
        while True:
            more.clear()
            events = await log.read(run, after)
            if not events:
                if dropped:
                    return
                await more.wait()
                continue
            after = events[-1].seq
            yield events
            if isinstance(events[-1].payload, RunEnd):
                return
    finally:
        stop()
