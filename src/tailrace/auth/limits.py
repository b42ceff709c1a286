"""The limits of one caller: its resources, and its rate of requests. The reasons are in docs/adr/0008."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from tailrace.errors import TooMany

MOST_ACCOUNTS = 16_384
"""Maximum number of accounts whose requests are remembered."""
MINUTE = 60.0


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of a token or a tenant; 0 is no limit.

    `concurrent_runs` that are worked on, `requests_per_minute` of any kind, `input_bytes` of a request's
    body, `tokens_per_day` and `cost_per_day` by UTC day, `readers_per_run`: streams of one run at once.
    """

    concurrent_runs: int = 0
    requests_per_minute: int = 0
    input_bytes: int = 0
    tokens_per_day: int = 0
    cost_per_day: float = 0.0
    readers_per_run: int = 0

    def but(self, own: Mapping[str, int | float]) -> Limits:
        """These limits with some of them changed. Raises `msgspec.ValidationError`."""
        return msgspec.convert({**msgspec.structs.asdict(self), **own}, Limits) if own else self


NO_LIMITS = Limits()
EACH = Limits(concurrent_runs=100, requests_per_minute=1_200, readers_per_run=50)
"""The default limits of a key."""
TENANT = Limits(concurrent_runs=1_000, requests_per_minute=12_000, readers_per_run=500)
"""The default limits of all keys of a tenant together. Only the operator knows the cost of a day."""


class GivenLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`Limits` in a configuration: None for those that it does not set."""

    concurrent_runs: int | None = None
    requests_per_minute: int | None = None
    input_bytes: int | None = None
    tokens_per_day: int | None = None
    cost_per_day: float | None = None
    readers_per_run: int | None = None

    def over(self, others: Limits) -> Limits:
        """These limits, completed by `others`."""
        limits = msgspec.structs.asdict(self)
        return others.but({key: value for key, value in limits.items() if value is not None})


class Account(Struct, frozen=True):
    """The requests that are counted together: `key` identifies the account, `what` is the word for it."""

    key: str
    what: str
    limits: Limits


class Rates:
    """A limit of requests a minute: a token bucket for each account, in memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_at: dict[str, float] = {}

    def take(self, accounts: Sequence[Account]) -> None:
        """Count a request. Raises `TooMany`, and counts nothing, if the bucket of an account is empty."""
        limited_accounts = [account for account in accounts if account.limits.requests_per_minute]
        if not limited_accounts:
            return
        now = self._clock()
        next_times = {account.key: self._next(account, now) for account in limited_accounts}
        self._free_at.update(next_times)
        if len(self._free_at) > MOST_ACCOUNTS:
            self._forget(now)

    def _next(self, account: Account, now: float) -> float:
        """The time at which the bucket is full again after one more request: at most a minute from now."""
        rate = account.limits.requests_per_minute
        full = max(self._free_at.get(account.key, 0.0), now) + MINUTE / rate
        wait = full - now - MINUTE
        if wait > 1e-6:
            raise TooMany(
                f"This {account.what} may send {rate} requests a minute; try again in {wait:.1f} s.",
                retry_after=wait,
                code="rate_limit_exceeded",
            )
        return full

    def _forget(self, now: float) -> None:
        """Remove full buckets, which have no effect."""
        self._free_at = {key: full for key, full in self._free_at.items() if full > now}
