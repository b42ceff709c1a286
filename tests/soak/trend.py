"""Whether a series of samples grows: the slope that most pairs of samples agree on (Theil and Sen). Pure.

One peak or one dip moves a line of least squares, and does not move this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

MOST = 0.1
"""The share of its level by which a series may grow over what is judged."""
POINTS = 60
"""So many points are compared, each the median of its neighbours."""


class Trend(NamedTuple):
    """How a series went: its level, and by how much it grew from the first to the last sample."""

    level: float
    grown: float

    def grows(self, least: float) -> bool:
        """Whether that is growth; below `least` nothing is."""
        return self.grown > max(least, MOST * self.level)


def trend(series: Sequence[float]) -> Trend:
    """Of evenly spaced samples, at least two."""
    width = max(len(series) // POINTS, 1)
    points = [median(series[at : at + width]) for at in range(0, len(series) - width + 1, width)]
    slopes = [(b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(points), 2)]
    return Trend(median(points), median(slopes) * (len(points) - 1))
