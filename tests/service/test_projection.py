"""A projection: events that its log reports twice, late or not at all, and the window that it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import LogError
from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.events.types import Event
from tailrace.log.contract import EventLog, Listener
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.service import projection
from tailrace.service.projection import Projection
from tests.support.logs import RUN, log, text
from tests.support.nats_load import Recorder

ENDED = log(text(0, *"abcd"), end=t.RunCompleted())


async def test_what_was_left_out_is_read_when_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "REFILL_SECONDS", 0.01)
    store = MemoryStore()
    await store.open()
    read, tries = store.log.read, list[int]()

    async def broken(run: str, after: int) -> Sequence[Event]:
        tries.append(after)
        if len(tries) < 3:
            raise LogError("no leader")
        return await read(run, after)

    store.log.read = broken  # type: ignore[method-assign]
    await store.log.append(RUN, frame(ENDED[:2]), expected=-1, attempt=1)
    recorder = Recorder()
    shared = Projection(store.log, RUN, recorder, 0, -1)
    await store.log.append(RUN, frame(ENDED[2:]), expected=1, attempt=1)
    async with asyncio.timeout(10):
        await recorder.ended.wait()
    assert recorder.events == ENDED
    assert len(tries) >= 3
    shared.close()


LONG = log(text(0, *"abcdefghijklmnopqrstuvwxyz"), end=t.RunCompleted())


class Told:
    """A log that notifies its watcher when a test says so; a store does the rest."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.read_times = 0
        self.tell: Listener = lambda events: None

    def watch(self, run: str, listener: Listener) -> Callable[[], None]:
        self.tell = listener
        return lambda: None

    async def read(self, run: str, after: int) -> Sequence[Event]:
        self.read_times += 1
        return await self._log.read(run, after)


PIECES = st.lists(st.tuples(st.integers(0, len(LONG) - 1), st.integers(1, 5)), max_size=40)


@given(PIECES)
async def test_repeated_notifications_encode_each_event_once_in_order(
    pieces: list[tuple[int, int]],
) -> None:
    """A watch may report events twice or late, and leave some out."""
    store = MemoryStore()
    await store.open()
    await store.log.append(RUN, frame(LONG), expected=-1, attempt=1)
    told, recorder = Told(store.log), Recorder()
    shared = Projection(told, RUN, recorder, 0, -1)  # type: ignore[arg-type]
    for start, length in pieces:
        told.tell(LONG[start : start + length])
        await asyncio.sleep(0)
        assert recorder.events == LONG[: len(recorder.events)]
    await shared.catch_up()
    assert recorder.events == LONG
    told.tell(LONG)
    assert recorder.events == LONG
    shared.close()


@pytest.mark.parametrize(
    "told_again",
    [
        [LONG[:6]],
        [LONG[3:6], LONG[5:6]],
        [LONG[4:9], LONG[2:9]],
        [LONG[:6], LONG[:6], LONG[1:12]],
    ],
)
async def test_repeated_notifications_cause_no_read(told_again: list[list[Event]]) -> None:
    store = MemoryStore()
    await store.open()
    await store.log.append(RUN, frame(LONG[:12]), expected=-1, attempt=1)
    told, recorder = Told(store.log), Recorder()
    shared = Projection(told, RUN, recorder, 0, -1)  # type: ignore[arg-type]
    told.tell(LONG[:6])
    for events in told_again:
        told.tell(events)
    assert recorder.events == LONG[: max(events[-1].seq for events in told_again) + 1]
    for _ in range(3):
        await asyncio.sleep(0)
    assert told.read_times == 0, "nothing was left out"
    shared.close()


class Blocks:
    """An encoder that makes one frame of this size for each event."""

    def __init__(self, size: int) -> None:
        self.done = False
        self._size = size

    def encode(self, events: Sequence[Event]) -> list[bytes]:
        return [b"%d " % event.seq * (self._size // len(b"%d " % event.seq)) for event in events]


@pytest.mark.parametrize(
    ("size", "batch"), [(100, 1), (100, 7), (1_000, 3), (20_000, 1), (3_000, 9)]
)
async def test_the_window_is_bounded_and_keeps_the_newest_half(size: int, batch: int) -> None:
    many = log(text(0, *"x" * 400))
    store = MemoryStore()
    await store.open()
    told = Told(store.log)
    shared = Projection(told, RUN, Blocks(size), 0, -1)  # type: ignore[arg-type]
    frames: list[bytes] = []
    shrunk = 0
    for start in range(0, len(many), batch):
        events, base = many[start : start + batch], shared.base
        newest = Blocks(size).encode(events)
        frames += newest
        told.tell(events)
        kept = shared.take(shared.base)
        assert kept == b"".join(frames[shared.base :])
        assert shared.take(shared.base - 1) is None
        assert shared.end == len(frames)
        assert shared.base <= len(frames) - len(newest), "the newest batch is whole"
        least = sum(map(len, newest))
        assert len(kept) <= max(projection.WINDOW_BYTES, least)
        if shared.base > base:
            shrunk += 1
            half = projection.WINDOW_BYTES // 2
            assert len(kept) <= max(half, least)
            assert len(kept) + size > half, "no more is forgotten than has to be"
    assert shrunk > 0
    assert (
        shrunk <= len(many) * size // (projection.WINDOW_BYTES // 2 - 2 * size) + 1 or size > 1_000
    )
    shared.close()
