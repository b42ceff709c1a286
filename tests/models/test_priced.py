"""Prices: each call reports its cost, and a run adds the costs up."""

from __future__ import annotations

import pytest

from tailrace.events.types import Usage
from tailrace.models.priced import Price

PRICE = Price(input=3.0, cached=0.3, cache_write=3.75, output=15.0)

CASES = [
    (Usage("m", input=1_000_000), 3.0),
    (Usage("m", output=1_000_000), 15.0),
    (Usage("m", input=1_000_000, cached=1_000_000), 0.3),
    (Usage("m", input=1000, cached=400, cache_write=100, output=50), 0.002745),
    (Usage("m"), 0.0),
]


@pytest.mark.parametrize(("usage", "cost"), CASES)
def test_what_a_call_costs(usage: Usage, cost: float) -> None:
    assert PRICE.of(usage) == pytest.approx(cost)
