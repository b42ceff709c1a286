"""Follow and the shared projections: the hand-over from history to live, under any interleaving."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.events.types import Event
from tailrace.log.contract import Store
from tailrace.log.follow import follow
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.protocols.node_stream.stream import NodeStreamEncoder
from tailrace.service.projection import Projections
from tailrace.service.subscription import Subscription
from tests.support.logs import RUN, log, text

LOG = log([*text(0, *"abcdefghijkl"), t.Usage("m")], end=t.RunCompleted())
WHOLE = NodeStreamEncoder(RUN).encode(LOG)

schedules = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6)), min_size=1, max_size=12)


async def _write(store: Store, schedule: Sequence[tuple[int, int]]) -> None:
    """Append the log in frames; between two, let others have some turns of the loop."""
    start = 0
    steps = [*schedule, (len(LOG), 0)]
    for size, turns in steps:
        events = LOG[start : start + size]
        if not events:
            break
        await store.log.append(RUN, frame(events), expected=start - 1, attempt=1)
        start += len(events)
        for _ in range(turns):
            await asyncio.sleep(0)


@given(schedule=schedules, late=st.integers(0, 30), after=st.integers(-1, 8))
def test_follow_has_no_gap_and_no_double(
    schedule: list[tuple[int, int]], late: int, after: int
) -> None:
    async def scene() -> None:
        store = MemoryStore()
        seen: list[Event] = []

        async def reader() -> None:
            for _ in range(late):
                await asyncio.sleep(0)
            async for events in follow(store.log, RUN, after):
                seen.extend(events)

        await asyncio.gather(_write(store, schedule), reader())
        assert seen == LOG[after + 1 :]

    asyncio.run(scene())


@pytest.mark.req("R8")
@pytest.mark.req("R12")
@given(
    schedule=schedules,
    readers=st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 6), st.booleans()), min_size=1, max_size=4
    ),
)
def test_subscriptions_share_frames_without_gap_or_double(
    schedule: list[tuple[int, int]], readers: list[tuple[int, int, bool]]
) -> None:
    """Readers that start at any time, from any frame, and pull or get direct writes: all get the same
    bytes."""

    async def scene() -> None:
        store = MemoryStore()
        projections = Projections(store)

        async def reader(late: int, first: int, direct: bool) -> bytes:
            for _ in range(late):
                await asyncio.sleep(0)
            got = bytearray()
            subscription = Subscription(
                projections, (RUN, "native"), lambda: NodeStreamEncoder(RUN), first
            )

            def write(data: bytes) -> bool:
                got.extend(data)
                return True

            if direct:
                subscription.direct = write
            while (data := await subscription.next()) is not None:
                got.extend(data)
            subscription.close()
            return bytes(got)

        reading = [reader(*plan) for plan in readers]
        results = await asyncio.gather(_write(store, schedule), *reading)
        for (_, first, _), got in zip(readers, results[1:], strict=True):
            assert got == b"".join(WHOLE[first:])
        assert projections.find((RUN, "native")) is None

    asyncio.run(scene())
