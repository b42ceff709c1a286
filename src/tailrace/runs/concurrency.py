"""Limits on concurrent runs, for each budget: in this process, or in a whole cluster.

In a cluster one record for each budget names its runs, and every start is a compare-and-set on it, so that no
two processes take the same place. A run is not removed when it ends: that would be one more write, which a
kill prevents. When all places seem to be taken, those of runs that have ended or wait, by their own records,
are free.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from tailrace.errors import RevisionMismatch, TooMany
from tailrace.events.versions import Shape
from tailrace.log.contract import Store
from tailrace.runs.accounts import Budget
from tailrace.runs.directory import Directory
from tailrace.runs.settings import HOUR
from tailrace.runs.writer import Clock

BUCKET = "running"
RETENTION_MS = 48 * HOUR
"""How long a record lasts after the last start: longer than a run."""
BUSY_SECONDS = 2.0
"""The `retry-after` of a caller with too many runs; the end of a run cannot be predicted."""
WAITS = (0.05, 0.15)
"""Delay before a caller is refused: a reader sees the end of a run a moment before its record has it."""
UNBORN = 60_000
"""A run without a record after this many milliseconds never began."""

SHAPE = Shape("runs at once", dict[str, int])


class LocalConcurrency:
    """Counts in memory, for a process that works on all runs of its store."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()

    async def enter(self, run: str, budgets: Sequence[Budget]) -> None:
        """Count a run that starts. Raises `TooMany`, and counts nothing, if a limit is reached."""
        for budget in budgets:
            if budget.runs and self._running[budget.key] >= budget.runs:
                raise _too_many(budget)
        self.enter_again(budgets)

    def enter_again(self, budgets: Sequence[Budget]) -> None:
        """Count a run that was accepted earlier and is taken over."""
        self._running.update(budget.key for budget in budgets)

    def leave(self, budgets: Sequence[Budget]) -> None:
        """A run is no longer worked on."""
        for budget in budgets:
            self._running[budget.key] -= 1
            if self._running[budget.key] <= 0:
                del self._running[budget.key]

    async def forget(self, run: str, budgets: Sequence[Budget]) -> None:
        """The run has ended or waits."""


class ClusterConcurrency:
    """Counts in the store's records, for the processes of a cluster."""

    def __init__(self, store: Store, directory: Directory, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock

    async def enter(self, run: str, budgets: Sequence[Budget]) -> None:
        """As `LocalConcurrency.enter`. Raises `LogError`."""
        places: list[Budget] = []
        try:
            for budget in budgets:
                if budget.runs:
                    await self._take(run, budget)
                    places.append(budget)
        except TooMany:
            await self.forget(run, places)
            raise

    def enter_again(self, budgets: Sequence[Budget]) -> None:
        """It has its place already."""

    def leave(self, budgets: Sequence[Budget]) -> None:
        """Does nothing: the run's own record shows it."""

    async def forget(self, run: str, budgets: Sequence[Budget]) -> None:
        """The record of a run is about to be deleted, or it never gets one: free its places. Raises
        `LogError`."""
        for budget in budgets:
            if budget.runs:
                await self._give_back(run, budget)

    async def _take(self, run: str, budget: Budget) -> None:
        waits = iter(WAITS)
        while True:
            runs, revision = await self._read(budget)
            if run in runs:
                return
            if len(runs) >= budget.runs:
                runs = await self._going(runs)
            if len(runs) < budget.runs:
                if await self._try_write(budget, {**runs, run: self._clock()}, revision):
                    return
            elif (wait := next(waits, None)) is not None:
                await asyncio.sleep(wait)
            else:
                raise _too_many(budget)

    async def _give_back(self, run: str, budget: Budget) -> None:
        while True:
            runs, revision = await self._read(budget)
            if runs.pop(run, None) is None or await self._try_write(budget, runs, revision):
                return

    async def _going(self, runs: dict[str, int]) -> dict[str, int]:
        """The runs among these that are worked on, or are about to be."""
        records = await asyncio.gather(*map(self._directory.record, runs))
        late = self._clock() - UNBORN
        return {
            run: since
            for (run, since), record in zip(runs.items(), records, strict=True)
            if (since > late if record is None else record.status == "in_progress")
        }

    async def _read(self, budget: Budget) -> tuple[dict[str, int], int]:
        record = await self._store.records.get(BUCKET, budget.key)
        return ({}, 0) if record is None else (SHAPE.decode(record.value), record.revision)

    async def _try_write(self, budget: Budget, runs: dict[str, int], revision: int) -> bool:
        value, expires = SHAPE.encode(runs), self._clock() + RETENTION_MS
        try:
            await self._store.records.put(
                BUCKET, budget.key, value, revision=revision, expires=expires
            )
        except RevisionMismatch:
            return False
        return True


Running = LocalConcurrency | ClusterConcurrency


def _too_many(budget: Budget) -> TooMany:
    return TooMany(
        f"No more than {budget.runs} runs at once (concurrent_runs); wait until one ends.",
        retry_after=BUSY_SECONDS,
        code="rate_limit_exceeded",
    )
