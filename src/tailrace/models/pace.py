"""Plays payloads at a given pace, for models without a server.

With an interval: one payload at a time, at deadlines counted from the start, so that delays do not add up.
Without: in batches, with one turn of the event loop between two of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import islice

from tailrace.events.types import ItemStarted, Payload, Usage

BATCH = 64


async def play_at_pace(
    payloads: Iterable[Payload], interval_ms: float
) -> AsyncGenerator[Sequence[Payload], None]:
    """Yield `payloads`, a delta every `interval_ms`; other payloads come with the next delta."""
    if interval_ms <= 0:
        rest = iter(payloads)
        while batch := list(islice(rest, BATCH)):
            yield batch
            await asyncio.sleep(0)
        return
    loop = asyncio.get_running_loop()
    due = loop.time()
    batch_of_delta: list[Payload] = []
    for payload in payloads:
        batch_of_delta.append(payload)
        if isinstance(payload, ItemStarted | Usage):
            continue
        due += interval_ms / 1000
        await asyncio.sleep(max(due - loop.time(), 0))
        yield batch_of_delta
        batch_of_delta = []
    if batch_of_delta:
        yield batch_of_delta
