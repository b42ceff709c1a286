"""Playing payloads at a given pace, for the models that need no server.

With an interval, one payload at a time, at deadlines counted from the start, so that nothing drifts.
Without, in batches, with one turn of the event loop between two of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import islice

from tailrace.events.types import ItemStarted, Payload, Usage

BATCH = 64


async def paced(
    payloads: Iterable[Payload], interval_ms: float
) -> AsyncGenerator[Sequence[Payload], None]:
    """Yield `payloads`, a delta every `interval_ms`; what is no delta comes with its neighbour."""
    if interval_ms <= 0:
        rest = iter(payloads)
        while batch := list(islice(rest, BATCH)):
            yield batch
            await asyncio.sleep(0)
        return
    loop = asyncio.get_running_loop()
    due = loop.time()
    held: list[Payload] = []
    for payload in payloads:
        held.append(payload)
        if isinstance(payload, ItemStarted | Usage):
            continue
        due += interval_ms / 1000
        await asyncio.sleep(max(due - loop.time(), 0))
        yield held
        held = []
    if held:
        yield held
