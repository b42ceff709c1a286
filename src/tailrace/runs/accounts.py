"""The spending of each budget today, in all processes together. The reasons are in docs/adr/0008.

A day is a UTC day. Spending is counted in memory and added to a record by compare-and-set, with one write
in flight for each budget: the same record shows the spending of other processes, and nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from tailrace.errors import LogError, RevisionMismatch, TooMany
from tailrace.events.types import Usage
from tailrace.events.versions import Shape
from tailrace.log.contract import Store
from tailrace.runs.settings import HOUR
from tailrace.runs.writer import Clock

BUCKET = "spent"
DAY = 24 * HOUR

Tell = Callable[[str], None]
"""Called with the name of a limit that is reached."""


class Budget(msgspec.Struct, frozen=True, omit_defaults=True):
    """A budget of an account: concurrent runs, and tokens and cost of a day; 0 is no limit."""

    key: str
    runs: int = 0
    tokens: int = 0
    cost: float = 0.0


class _Spending(msgspec.Struct, frozen=True):
    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: _Spending) -> _Spending:
        return _Spending(self.tokens + other.tokens, self.cost + other.cost)


NOTHING = _Spending()
SHAPE = Shape("what was spent", _Spending)


class _Day:
    """One budget on one day: the stored sum, the sum that is being written, and the sum that is not written
    yet."""

    def __init__(self) -> None:
        self.stored_spending = self.adding = self.more = NOTHING
        self.revision = 0
        self.limit_requests: list[tuple[Budget, Tell]] = []

    def total(self) -> _Spending:
        """What the budget has spent on this day, written or not."""
        return self.stored_spending + self.adding + self.more


_Place = tuple[int, str]


class Accounts:
    """The spending of each budget. `is_shared`: other processes spend from the budgets too."""

    def __init__(self, store: Store, clock: Clock, *, is_shared: bool = False) -> None:
        self._store = store
        self._clock = clock
        self._is_shared = is_shared
        self._days: dict[_Place, _Day] = {}
        self._writes: dict[_Place, asyncio.Task[None]] = {}

    async def check(self, budgets: Sequence[Budget]) -> None:
        """Raises `TooMany` if a budget is exhausted for today. Raises `LogError`."""
        await self.load(budgets)
        for budget in budgets:
            day = self._days.get((self._today(), budget.key))
            limit = _limit_of(budget, day.total()) if day is not None else ""
            if limit:
                left = (DAY - self._clock() % DAY) / 1000
                raise TooMany(
                    f"Daily budget exceeded ({limit}); it resets in {left:.0f} s.",
                    retry_after=left,
                    code="insufficient_quota",
                )

    async def load(self, budgets: Sequence[Budget]) -> None:
        """Load the stored spending of these budgets: once, and in a cluster at each call."""
        today = self._today()
        for place in [(today, budget.key) for budget in budgets if budget.tokens or budget.cost]:
            if place not in self._days or self._is_shared:
                await self._refresh(place)
                for old in [old for old in self._days if old[0] < today - 1]:
                    del self._days[old]

    def spend(self, budgets: Sequence[Budget], usage: Usage, tell: Tell) -> None:
        """Count a model call; `tell` is called for each limit that is reached, also by spending of other
        processes."""
        for budget in budgets:
            if budget.tokens or budget.cost:
                place = self._today(), budget.key
                day = self._days.setdefault(place, _Day())
                day.more += _Spending(usage.input + usage.output, usage.cost or 0.0)
                day.limit_requests.append((budget, tell))
                _tell(day, day.limit_requests[-1:])
                if place not in self._writes:
                    self._writes[place] = asyncio.create_task(self._write(place, day))

    async def settle(self) -> None:
        """Wait until all counted spending is written, or has failed."""
        while self._writes:
            await asyncio.wait(self._writes.values())

    async def _write(self, place: _Place, day: _Day) -> None:
        try:
            while day.more != NOTHING:
                day.adding, day.more = day.more, NOTHING
                request_count = len(day.limit_requests)
                try:
                    await self._add(place, day)
                finally:
                    day.more, day.adding = day.adding + day.more, NOTHING
                _tell(day, day.limit_requests[:request_count])
                del day.limit_requests[:request_count]
        except LogError:
            pass  # the next write includes it
        finally:
            del self._writes[place]

    async def _add(self, place: _Place, day: _Day) -> None:
        """Add the pending spending to the record. Raises `LogError`."""
        expires = (place[0] + 2) * DAY
        while True:
            total = day.stored_spending + day.adding
            value = SHAPE.encode(total)
            try:
                day.revision = await self._store.records.put(
                    BUCKET, _key(place), value, revision=day.revision, expires=expires
                )
            except RevisionMismatch:  # another process has added
                day.stored_spending, day.revision = await self._read(place)
            else:
                day.stored_spending, day.adding = total, NOTHING
                return

    async def _refresh(self, place: _Place) -> None:
        spending = await self._read(place)
        day = self._days.setdefault(place, _Day())
        if place not in self._writes:  # otherwise the write reads it
            day.stored_spending, day.revision = spending

    async def _read(self, place: _Place) -> tuple[_Spending, int]:
        record = await self._store.records.get(BUCKET, _key(place))
        if record is None:
            return NOTHING, 0
        return SHAPE.decode(record.value), record.revision

    def _today(self) -> int:
        return self._clock() // DAY


def _key(place: _Place) -> str:
    return f"{place[0]}/{place[1]}"


def _tell(day: _Day, requests: Sequence[tuple[Budget, Tell]]) -> None:
    for budget, tell in requests:
        limit = _limit_of(budget, day.total())
        if limit:
            tell(limit)


def _limit_of(budget: Budget, spending: _Spending) -> str:
    if budget.tokens and spending.tokens >= budget.tokens:
        return "tokens_per_day"
    if budget.cost and spending.cost >= budget.cost:
        return "cost_per_day"
    return ""
