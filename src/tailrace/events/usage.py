"""Token counts, added up."""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from tailrace.events.types import Usage


class Totals(Struct, frozen=True, gc=False):
    """Tokens of any number of model calls; `input` includes `cached`, `output` `reasoning`."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost: float = 0.0
    calls: int = 0

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """The totals of one model call."""
        return cls(
            usage.input,
            usage.cached,
            usage.cache_write,
            usage.output,
            usage.reasoning,
            usage.cost or 0.0,
            1,
        )

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.input + other.input,
            self.cached + other.cached,
            self.cache_write + other.cache_write,
            self.output + other.output,
            self.reasoning + other.reasoning,
            self.cost + other.cost,
            self.calls + other.calls,
        )
