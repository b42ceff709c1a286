"""How much work a check may be, counted while it is done: no clock, so the same input ends the same way."""

from __future__ import annotations


class Overspent(Exception):
    """The work is more than was allowed."""


class WorkBudget:
    """What is left of an allowance. One unit is about a microsecond of this interpreter (measured)."""

    def __init__(self, units: int) -> None:
        self.left = units

    def spend(self, units: int = 1) -> None:
        """Count what is about to be done. Raises `Overspent`."""
        self.left -= units
        if self.left < 0:
            raise Overspent
