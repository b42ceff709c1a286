"""A run that was claimed and not begun never begins once its key was taken over, whichever process
returns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tailrace.errors import NotFound
from tailrace.events.stored import Frame
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs.owner import Owner
from tailrace.runs.submission import Submission
from tests.support.house import House
from tests.support.jobs import Offers, doors
from tests.support.logs import request


@pytest.mark.parametrize("at", ["before the frame", "between the frame and the record"])
async def test_a_process_that_was_cut_off_begins_nothing_when_it_is_back(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its write arrives after another process has started the same request: one run counts for the key."""
    store, jobs = MemoryStore(), Offers()
    one, other = await doors(store, jobs)
    once = Submission(key="k", body=b"body", retry=False)
    cut, back = asyncio.Event(), asyncio.Event()
    begin = store.begin

    async def late(run: str, frame: Frame, *, before: Any, beside: Any) -> None:
        if at == "before the frame":
            cut.set()
            await back.wait()
            for change in beside:  # as on NATS, where each is written separately
                await store.records.change(change)
            return await begin(run, frame, before=before, beside=())
        for change in before:
            await store.records.change(change)
        await store.log.append(run, frame, expected=-1, attempt=1)
        cut.set()
        await back.wait()
        for change in beside:
            await store.records.change(change)
        return None

    monkeypatch.setattr(store, "begin", late)
    first = asyncio.create_task(
        one.supervisor.start(request(), owner=Owner("local"), submission=once)
    )
    await cut.wait()
    monkeypatch.setattr(store, "begin", begin)
    answers = jobs.answers.pop(f"process.{one.supervisor._executor.name}")
    run, new = await other.supervisor.start(request(), owner=Owner("local"), submission=once)
    assert new
    jobs.answers[f"process.{one.supervisor._executor.name}"] = answers
    back.set()
    found, _ = await first
    going = [each for each in set(jobs.offered) if await _goes_on(one, each)]
    assert going == [run]
    if at == "before the frame":
        for each in set(jobs.offered) - {run}:
            assert await one.directory.record(each) is None, "nobody sees what never began"
    assert (found == run) == (at == "before the frame")


async def _goes_on(house: House, run: str) -> bool:
    try:
        return not (await house.directory.state(run)).is_finished
    except NotFound:
        return False
