"""A run's task while its end is being written: later requests do not undo the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest

from tailrace.errors import Conflict
from tailrace.events import types as t
from tailrace.events.stored import Frame
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs.owner import Owner
from tailrace.runs.run_task import RunTask
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import ending, opening
from tests.support.house import Fake, House


async def ends_at_once(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    yield ending(context.state)


class SlowEnd(MemoryStore):
    """A store in which the append of a run's end waits until the test releases it."""

    def __init__(self) -> None:
        super().__init__()
        self.held = asyncio.Event()
        self.go = asyncio.Event()
        append = self.log.append

        async def slow(run: str, frame: Frame, **more: Any) -> None:
            if frame.ends:
                self.held.set()
                await self.go.wait()
            await append(run, frame, **more)

        self.log.append = slow  # type: ignore[method-assign]


@pytest.mark.parametrize("method", ["cancel", "hand_over"])
async def test_an_event_during_the_write_of_the_end_does_not_undo_it(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = asyncio.Event()
    original: Callable[..., Any] = getattr(RunTask, method)

    def notes_the_call(*arguments: Any) -> Any:
        called.set()
        return original(*arguments)

    monkeypatch.setattr(RunTask, method, notes_the_call)
    store = SlowEnd()
    house = House(Fake(ends_at_once), store)
    await house.supervisor.open()
    run = await house.start()
    await store.held.wait()
    cancels = method == "cancel"
    other = house.supervisor.cancel(run, "a test") if cancels else house.supervisor.drain()
    task = asyncio.ensure_future(other)
    await called.wait()
    store.go.set()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    assert isinstance(outcome, Conflict) == cancels
    assert (await house.directory.state(run)).end == t.RunCompleted()
    assert (await house.directory.find(run, Owner("local"))).status == "completed"
