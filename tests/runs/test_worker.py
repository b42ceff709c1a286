"""Requests that a worker receives for a run while it takes that run over."""

from __future__ import annotations

import pytest

from tailrace.events import types as t
from tailrace.events.stored import Frame
from tests.support.house import Fake, House, open_house
from tests.support.jobs import hangs
from tests.support.waiting import until


async def test_a_run_that_is_taken_over_while_it_is_cancelled_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The takeover is written first, so the cancel is refused as that of another worker."""
    first = await open_house(Fake(hangs))
    run = await first.start()
    await first.supervisor.drain()
    second = House(Fake(hangs), first.store)
    append = first.store.log.append

    async def late(run: str, frame: Frame, *, expected: int, attempt: int) -> None:
        monkeypatch.undo()
        await until(lambda: second.supervisor.live() == 1)
        await append(run, frame, expected=expected, attempt=attempt)

    monkeypatch.setattr(first.store.log, "append", late)
    await second.supervisor.open()
    await second.supervisor.cancel(run, "me")
    assert (await second.directory.state(run)).end == t.RunCancelled("me")
    await second.supervisor.close()
