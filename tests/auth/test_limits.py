"""Requests a minute: a minute's worth at once, then one each time a place is free."""

from __future__ import annotations

import msgspec
import pytest

from tailrace.auth.limits import NO_LIMITS, Account, Limits, Rates
from tailrace.errors import TooMany


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def _account(key: str, rate: int) -> Account:
    return Account(key, "key", Limits(requests_per_minute=rate))


def test_a_minute_s_worth_at_once_then_one_at_a_time() -> None:
    clock = Clock()
    rates, mine = Rates(clock), [_account("a", 6)]
    for _ in range(6):
        rates.take(mine)
    with pytest.raises(TooMany) as refused:
        rates.take(mine)
    assert refused.value.retry_after == pytest.approx(10)
    clock.now += refused.value.retry_after
    rates.take(mine)
    with pytest.raises(TooMany):
        rates.take(mine)
    rates.take([_account("b", 6)])
    clock.now += 3_600
    for _ in range(6):
        rates.take(mine)
    with pytest.raises(TooMany):
        rates.take(mine)


def test_a_refused_request_counts_against_no_limit() -> None:
    rates = Rates(Clock())
    both = [_account("tenant", 2), _account("token", 1)]
    rates.take(both)
    for _ in range(5):
        with pytest.raises(TooMany):
            rates.take(both)
    rates.take(both[:1])


def test_no_limit_remembers_nothing_and_full_buckets_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tailrace.auth.limits.MOST_ACCOUNTS", 10)
    clock = Clock()
    rates = Rates(clock)
    rates.take([Account("x", "key", NO_LIMITS)])
    assert not rates._free_at
    for n in range(100):
        clock.now += 61
        rates.take([_account(str(n), 1)])
    assert len(rates._free_at) <= 11


def test_a_token_s_own_limits_replace_the_common_ones() -> None:
    common = Limits(requests_per_minute=5, cost_per_day=2.5)
    assert common.but({"requests_per_minute": 9}) == Limits(requests_per_minute=9, cost_per_day=2.5)
    assert common.but({"requests_per_minute": 0}).requests_per_minute == 0
    with pytest.raises(msgspec.ValidationError):
        common.but({"request": 1})
