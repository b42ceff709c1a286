"""A run whose model server refuses it before any output: the reply has the HTTP status of the model server.

SDKs choose their exception, and whether to retry, by the status alone; after a 200 they do neither
(docs/adr/0016). So the head of a stream waits for the first output of its run, for at most `HEAD_SECONDS`: a
client that resumes a run needs its id, and proxies need a first byte.
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

HEAD_SECONDS = 2.0
NO_OUTPUT = (
    RunStarted,
    RunAttempt,
    NodeStarted,
    NodeCompleted,
    NodeFailed,
    AgentStarted,
    AgentCompleted,
)
"""Events before the first output of a run."""


async def early_failure(log: EventLog, run: str, seconds: float) -> RunFailed | None:
    """The failure of a run at its model server, if it comes first and within `seconds`."""
    first: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()

    def take(events: Sequence[Event]) -> None:
        payload = first_output(events)
        if payload is not None and not first.done():
            first.set_result(payload)

    unwatch = log.watch(run, take)
    try:
        take(await log.read(run, -1))
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, HEAD_SECONDS)):
                return model_failure(await first)
        return None
    finally:
        unwatch()


def first_output(events: Sequence[Event]) -> Payload | None:
    """The first of these events that is output, or the end of the run."""
    payloads = (event.payload for event in events)
    return next((each for each in payloads if not isinstance(each, NO_OUTPUT)), None)


def model_failure(end: Payload | None) -> RunFailed | None:
    """The failure of a run at its model server; None for any other end."""
    return end if isinstance(end, RunFailed) and end.status else None
