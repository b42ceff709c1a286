"""A run that its model server refused before anything was said: told by the HTTP status, as the server did.

The SDKs know by the status alone what to raise and whether to ask again; behind a 200 they do neither
(docs/adr/0016). So the head of a stream waits a moment for what the run does first. It does not wait for
long: a client that is to resume a run wants its id, and proxies want a first byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from tailrace.events.types import (
    AgentCompleted,
    AgentStarted,
    Event,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    Payload,
    RunAttempt,
    RunFailed,
    RunStarted,
)
from tailrace.log.contract import EventLog

HELD_SECONDS = 2.0
SILENT = (
    RunStarted,
    RunAttempt,
    NodeStarted,
    NodeCompleted,
    NodeFailed,
    AgentStarted,
    AgentCompleted,
)
"""Events that say nothing of an answer yet."""


async def refused(log: EventLog, run: str, seconds: float) -> RunFailed | None:
    """How a run fails at its model server, if it does within so many seconds, before it said anything."""
    first: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()

    def heard(events: Sequence[Event]) -> None:
        said = beginning(events)
        if said is not None and not first.done():
            first.set_result(said)

    unwatch = log.watch(run, heard)
    try:
        heard(await log.read(run, -1))
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, HELD_SECONDS)):
                return of_server(await first)
        return None
    finally:
        unwatch()


def beginning(events: Sequence[Event]) -> Payload | None:
    """The first of these events that is not silent."""
    said = (event.payload for event in events if not isinstance(event.payload, SILENT))
    return next(said, None)


def of_server(end: Payload | None) -> RunFailed | None:
    """The failure of a run at its model server; None for any other, and for all else."""
    return end if isinstance(end, RunFailed) and end.status else None
