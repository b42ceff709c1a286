"""A run that its model server refused before anything was said: told by the HTTP status, as the server did.

The SDKs know by the status alone what to raise and whether to ask again; behind a 200 they do neither
(docs/adr/0016). So the head of a stream waits a moment for what the run does first. It does not wait for
long: a client that is to resume a run wants its id, and proxies want a first byte.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress

from tailrace.events.types import (
    AgentCompleted,
    AgentStarted,
    Event,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    RunAttempt,
    RunEnd,
    RunFailed,
    RunStarted,
)
from tailrace.log.contract import EventLog
from tailrace.protocols.failures import again

HELD_SECONDS = 2.0
OBEYED_SECONDS = 60
"""Clients obey a `retry-after` of up to so many seconds; told to wait longer they try at once."""
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


async def refused(log: EventLog, run: str, seconds: float) -> bool:
    """Whether a run fails at its model server within so many seconds, before it said anything."""
    first: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def heard(events: Sequence[Event]) -> None:
        said = is_refusal(events)
        if said is not None and not first.done():
            first.set_result(said)

    unwatch = log.watch(run, heard)
    try:
        heard(await log.read(run, -1))
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, HELD_SECONDS)):
                return await first
        return False
    finally:
        unwatch()


def is_refusal(events: Sequence[Event]) -> bool | None:
    """Whether the first event that is not silent is a model server's failure; None while all are."""
    for event in events:
        if not isinstance(event.payload, SILENT):
            return is_of_server(event.payload)
    return None


def is_of_server(end: object) -> bool:
    """Whether a run has failed at its model server, rather than here."""
    return isinstance(end, RunFailed) and end.status != 0


def headers(end: RunEnd | None) -> dict[str, str]:
    """What a reply without a stream says of asking again."""
    if not isinstance(end, RunFailed):
        return {}
    found = {} if end.retry_after is None else retry_headers(end.retry_after)
    return found if again(end) else {**found, "x-should-retry": "false"}


def retry_headers(seconds: float) -> dict[str, str]:
    """When to try again, as the SDKs of OpenAI and Anthropic read it (docs/adr/0008)."""
    found = {
        "retry-after": str(math.ceil(seconds)),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }
    if seconds > OBEYED_SECONDS:
        found["x-should-retry"] = "false"
    return found
