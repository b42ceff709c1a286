"""Who pays for runs: how many are worked on at once, and what was spent today. Why so: docs/adr/0008.

A day is a UTC day. What was spent is counted in memory and written behind, one write under way for each
purse at most, so that the next process goes on counting from there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec

from tailrace.errors import LogError, TooMany
from tailrace.events.types import Usage
from tailrace.log.contract import Store
from tailrace.runs.settings import HOUR
from tailrace.runs.writer import Clock

BUCKET = "spent"
DAY = 24 * HOUR
BUSY_SECONDS = 2.0
"""What a caller with too many runs is told to wait; when one ends nobody knows."""


class Purse(msgspec.Struct, frozen=True, omit_defaults=True):
    """One who pays, and what for at most: runs at once, a day's tokens and cost; 0 is no limit."""

    key: str
    runs: int = 0
    tokens: int = 0
    cost: float = 0.0


class _Spent(msgspec.Struct):
    tokens: int = 0
    cost: float = 0.0


_Place = tuple[int, str]


class Accounts:
    """What each purse has under way and has spent."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._spent: dict[_Place, _Spent] = {}
        self._writes: dict[_Place, asyncio.Future[int]] = {}
        self._unwritten: set[_Place] = set()

    async def enter(self, purses: Sequence[Purse]) -> None:
        """A run begins to be worked on. Raises `TooMany`, and counts nothing, when it must not."""
        await self._load(purses)
        for purse in purses:
            self._check(purse)
        self._running.update(purse.key for purse in purses)

    async def enter_again(self, purses: Sequence[Purse]) -> None:
        """The same for a run that was accepted once and is taken over."""
        await self._load(purses)
        self._running.update(purse.key for purse in purses)

    def leave(self, purses: Sequence[Purse]) -> None:
        """A run is not worked on any more."""
        for purse in purses:
            self._running[purse.key] -= 1
            if self._running[purse.key] <= 0:
                del self._running[purse.key]

    def spend(self, purses: Sequence[Purse], usage: Usage) -> str:
        """Count a model call; the name of the limit that is reached, or `""`."""
        reached = ""
        for purse in purses:
            if purse.tokens or purse.cost:
                place = self._today(), purse.key
                spent = self._spent.setdefault(place, _Spent())
                spent.tokens += usage.input + usage.output
                spent.cost += usage.cost or 0.0
                self._write(place)
                reached = reached or _reached(purse, spent)
        return reached

    async def settle(self) -> None:
        """Wait until all that was counted is written, or cannot be."""
        while self._writes:
            await asyncio.wait(self._writes.values())

    def _check(self, purse: Purse) -> None:
        reached = _reached(purse, self._spent.get((self._today(), purse.key), _Spent()))
        if reached:
            left = (DAY - self._clock() % DAY) / 1000
            raise TooMany(
                f"What may be used up in a day is used up ({reached}); the day ends in {left:.0f} s.",
                retry_after=left,
                code="insufficient_quota",
            )
        if purse.runs and self._running[purse.key] >= purse.runs:
            raise TooMany(
                f"No more than {purse.runs} runs at once (concurrent_runs); wait until one ends.",
                retry_after=BUSY_SECONDS,
                code="rate_limit_exceeded",
            )

    async def _load(self, purses: Sequence[Purse]) -> None:
        today = self._today()
        for place in [(today, purse.key) for purse in purses if purse.tokens or purse.cost]:
            if place in self._spent:
                continue
            record = await self._store.records.get(BUCKET, _key(place))
            found = _Spent() if record is None else msgspec.json.decode(record.value, type=_Spent)
            self._spent.setdefault(place, found)
            for old in [old for old in self._spent if old[0] < today - 1]:
                del self._spent[old]

    def _write(self, place: _Place) -> None:
        if place in self._writes:
            self._unwritten.add(place)
            return
        value = msgspec.json.encode(self._spent[place])
        expires = (place[0] + 2) * DAY
        put = self._store.records.put(BUCKET, _key(place), value, expires=expires)
        write = self._writes[place] = asyncio.ensure_future(put)
        write.add_done_callback(lambda _: self._written(place))

    def _written(self, place: _Place) -> None:
        write = self._writes.pop(place)
        failed = write.cancelled() or isinstance(write.exception(), LogError)
        if place in self._unwritten and place in self._spent and not failed:
            self._unwritten.discard(place)
            self._write(place)

    def _today(self) -> int:
        return self._clock() // DAY


def _key(place: _Place) -> str:
    return f"{place[0]}/{place[1]}"


def _reached(purse: Purse, spent: _Spent) -> str:
    if purse.tokens and spent.tokens >= purse.tokens:
        return "tokens_per_day"
    if purse.cost and spent.cost >= purse.cost:
        return "cost_per_day"
    return ""
