"""Within a run time does not go back, whatever clock the process that works on it has."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import types as t
from tailrace.events.ids import ulid
from tailrace.events.state import RunState
from tailrace.events.types import Draft
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs.writer import RunWriter
from tests.runs.test_life import talk
from tests.support.house import Fake, House
from tests.support.logs import RUN, request

DAY = 86_400_000


@given(st.lists(st.integers(-30 * DAY, 30 * DAY), min_size=2, max_size=4))
async def test_times_of_a_run_over_workers_with_other_clocks(skews: Sequence[int]) -> None:
    store = MemoryStore()
    await store.open()
    state = RunState()
    first = RunWriter(store.log, RUN, state, lambda: 40 * DAY)
    first.add([Draft(t.RunStarted(request()))])
    await first.flush()
    for skew in skews:
        writer = RunWriter(store.log, RUN, state, lambda skew=skew: 40 * DAY + skew)  # type: ignore[misc]
        writer.add([Draft(t.RunAttempt(state.attempt + 1, "takeover"))])
        await writer.flush()
    last = RunWriter(store.log, RUN, state, lambda: 10 * DAY)
    last.add([*state.settle(t.RunCompleted()), Draft(t.RunCompleted())])
    await last.flush()
    times = [event.ts for event in await store.log.read(RUN, -1)]
    assert times == sorted(times)
    assert state.ended_at >= 40 * DAY, "nobody takes its end for one of a month ago"


class Ticking(House):
    """A house whose clock advances at each reading."""

    def clock(self) -> int:
        self.now += 1
        return self.now


async def test_a_run_has_one_time_of_creation() -> None:
    """`GET /jobs?since=` selects by the time that `GET /jobs/{id}` shows, and that the id contains."""
    house = Ticking(Fake(talk))
    await house.supervisor.open()
    run = await house.start()
    state = await house.finished(run)
    record = await house.directory.record(run)
    assert record is not None
    assert record.created == state.started_at
    assert run[:10] == ulid(state.started_at, bytes(10))[:10]
    await house.supervisor.close()
