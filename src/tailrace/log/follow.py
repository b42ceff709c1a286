"""History, then live, with no gap and no double: how to read a run from any point to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from tailrace.events.types import Event, RunEnd
from tailrace.log.contract import EventLog


async def follow(log: EventLog, run: str, after: int) -> AsyncGenerator[Sequence[Event], None]:
    """Batches of the run's durable events with `seq > after`, until the one with its end, or until the log
    is dropped.

    Reads by cursor: what the caller has not asked for is not held anywhere on its behalf. The watch only
    says that there is more, and it is set before the read that finds nothing, so nothing slips between.
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
