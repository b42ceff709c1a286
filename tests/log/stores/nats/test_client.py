"""How long the client retries: no longer than its limit, whatever the library does with a cancellation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tailrace.errors import LogError
from tailrace.log.contract import BEGIN_SECONDS
from tailrace.log.stores.nats.client import Client, Unreachable
from tailrace.log.stores.nats.log import list_subjects
from tailrace.log.stores.nats.records import SECONDS
from tailrace.runs.cluster import CLAIMED_SECONDS
from tailrace.runs.supervisor import START_SECONDS


class Leaderless(Client):
    """A client whose server does not answer questions about streams."""

    async def ask(self, method: str, **fields: Any) -> dict[str, Any]:
        raise Unreachable(method)


async def test_a_cancellation_that_the_work_lost_ends_it_all_the_same() -> None:
    """`asyncio.wait_for` of Python 3.11 does this when the answer, here a refusal, comes at the same time."""
    client = Client([])
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Unreachable("no leader") from None

    insisting = asyncio.create_task(client.insist(work))
    await begun.wait()
    insisting.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await insisting


async def test_a_cleanup_after_a_cancellation_may_retry() -> None:
    client = Client([])
    tries = 0

    async def work() -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unreachable("no leader")
        return tries

    async def tidy() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await client.insist(work)
        raise AssertionError

    tidying = asyncio.create_task(tidy())
    await asyncio.sleep(0)
    tidying.cancel()
    assert await tidying == 2


async def test_a_list_of_records_is_retried_no_longer_than_allowed() -> None:
    async with asyncio.timeout(5):
        with pytest.raises(LogError, match="does not answer"):
            await list_subjects(Leaderless([]), "RECORDS", "t.rec.>", 0.01)


def test_a_wait_for_a_claimed_run_covers_the_longest_start() -> None:
    assert START_SECONDS + BEGIN_SECONDS < CLAIMED_SECONDS
    assert SECONDS + START_SECONDS + BEGIN_SECONDS < 60, "what many a client waits for a reply"
