"""The work of a check, counted while it is done: without a clock, so the same input ends the same way."""

from __future__ import annotations


class Overspent(Exception):
    """The work exceeds the allowance."""


class WorkBudget:
    """The rest of an allowance. One unit is about a microsecond of this interpreter (measured)."""

    def __init__(self, units: int) -> None:
        self.left = units

    def spend(self, units: int = 1) -> None:
        """Count work before it is done. Raises `Overspent`."""
        self.left -= units
        if self.left < 0:
            raise Overspent
