"""A projection whose log leaves events out and cannot be read for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tailrace.errors import LogError
from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.events.types import Event
from tailrace.http import projection
from tailrace.http.projection import Projection
from tailrace.log.stores.memory import MemoryStore
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
