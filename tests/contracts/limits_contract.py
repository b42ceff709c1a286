"""Limits that processes share: they count through their store, and neither lose nor double anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tailrace.errors import RevisionMismatch, TooMany
from tailrace.events import ids
from tailrace.events.types import Usage
from tailrace.log.contract import Store
from tailrace.runs.accounts import Accounts, Budget
from tailrace.runs.concurrency import SHAPE, UNBORN, ClusterConcurrency
from tailrace.runs.directory import Directory, RunRecord, Status

NOW = 1_763_690_000_000


def _suffix(number: int) -> str:
    return ids.ulid(NOW, bytes(9) + bytes([number]))


class LimitsContract:
    """The suite; `stores` are the stores of two processes of one installation."""

    async def test_adding_by_compare_and_set_loses_nothing(self, stores: Sequence[Store]) -> None:
        async def add(store: Store) -> None:
            for _ in range(10):
                while True:
                    found = await store.records.get("b", "sum")
                    total, revision = (
                        (0, 0) if found is None else (int(found.value), found.revision)
                    )
                    try:
                        await store.records.put("b", "sum", b"%d" % (total + 1), revision=revision)
                        break
                    except RevisionMismatch:
                        continue

        await asyncio.gather(*(add(store) for store in [*stores, *stores]))
        found = await stores[0].records.get("b", "sum")
        assert found is not None
        assert (found.value, found.revision) == (b"40", 40)

    async def test_what_processes_spend_is_one_sum(self, stores: Sequence[Store]) -> None:
        each = [Accounts(store, lambda: NOW, is_shared=True) for store in stores]
        budget, told = Budget("token:a", tokens=200, cost=9.0), list[str]()
        for _ in range(50):
            for accounts in each:
                accounts.spend([budget], Usage("m", input=1, output=1, cost=0.01), told.append)
            await asyncio.sleep(0)
        await asyncio.gather(*(accounts.settle() for accounts in each))
        assert set(told) == {"tokens_per_day"}, "whose write was the last has heard of it"
        for accounts in [*each, Accounts(stores[0], lambda: NOW, is_shared=True)]:
            with pytest.raises(TooMany, match="tokens_per_day"):
                await accounts.check([budget])
            with pytest.raises(TooMany, match="cost_per_day"):
                await accounts.check([Budget("token:a", cost=0.9999)])
            await accounts.check([Budget("token:a", tokens=201, cost=1.0001)])
            await accounts.check([Budget("token:b", tokens=1)])

    async def test_each_spender_learns_the_totals_of_the_others(self, stores: Sequence[Store]) -> None:
        """Neither alone has used it up; whoever adds second learns that both have."""
        each = [Accounts(store, lambda: NOW, is_shared=True) for store in stores]
        budget, told = Budget("token:a", tokens=100), list[str]()
        for accounts in each:
            await accounts.load([budget])
        for accounts in each:
            accounts.spend([budget], Usage("m", input=60), told.append)
        assert not told
        await asyncio.gather(*(accounts.settle() for accounts in each))
        assert told == ["tokens_per_day"]

    async def test_processes_take_no_place_twice(self, stores: Sequence[Store]) -> None:
        each = [ClusterConcurrency(store, Directory(store), lambda: NOW) for store in stores]
        budgets = [Budget("tenant:x", runs=9), Budget("token:a", runs=3)]
        starts = [each[n % 2].enter(_suffix(n), budgets) for n in range(10)]
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        assert [type(each) for each in outcomes if each is not None] == [TooMany] * 7
        taken = [_suffix(n) for n, outcome in enumerate(outcomes) if outcome is None]
        await each[0].enter(taken[0], budgets)
        await each[1].enter(_suffix(20), [Budget("token:b", runs=1)])
        over: tuple[Status, ...] = ("completed", "waiting")
        for place, status in enumerate(over):
            await self._record(stores[0], taken[place], status)
            await each[1].enter(_suffix(21 + place), budgets)
            with pytest.raises(TooMany):
                await each[0].enter(_suffix(30), budgets)
        places = await stores[0].records.get("running", "tenant:x")
        assert places is not None
        assert len(SHAPE.decode(places.value)) == 5, (
            "who is refused by one gives back the other's place"
        )

    async def test_a_client_that_arrives_at_the_end_of_a_run_is_admitted(
        self, stores: Sequence[Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its reader has seen the end already; its record says so a moment later."""
        monkeypatch.setattr("tailrace.runs.concurrency.WAITS", (0.01,) * 1000)
        running = ClusterConcurrency(stores[1], Directory(stores[1]), lambda: NOW)
        budgets = [Budget("token:a", runs=1)]
        await running.enter(_suffix(1), budgets)
        await self._record(stores[0], _suffix(1), "in_progress")
        entering = asyncio.create_task(running.enter(_suffix(2), budgets))
        for _ in range(20):
            await stores[0].records.get("b", "k")
        await self._record(stores[0], _suffix(1), "completed")
        await entering

    async def test_a_run_that_never_began_loses_its_place(self, stores: Sequence[Store]) -> None:
        now = NOW
        running = ClusterConcurrency(stores[0], Directory(stores[0]), lambda: now)
        budgets = [Budget("token:a", runs=2)]
        await running.enter(_suffix(1), budgets)
        await running.enter(_suffix(2), budgets)
        await self._record(stores[0], _suffix(2), "in_progress")
        now += UNBORN + 1
        await running.enter(_suffix(3), budgets)
        with pytest.raises(TooMany):
            await running.enter(_suffix(4), budgets)

    async def _record(self, store: Store, run: str, status: Status) -> None:
        record = RunRecord(run=run, agent="a", surface="native", tenant="x", status=status)
        await Directory(store).write(record, expires=0)
