"""Whether a series of samples grows: the median slope between pairs of samples (Theil and Sen). Pure.

One peak or one dip moves a line of least squares, and does not move this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

MOST = 0.1
"""The share of its level by which a series may grow over the samples."""
POINTS = 60
"""The number of points that are compared, each the median of its neighbours."""


class Trend(NamedTuple):
    """The trend of a series: its level, and its growth from the first to the last sample."""

    level: float
    grown: float

    def grows(self, least: float) -> bool:
        """Whether the series grows; an increase below `least` does not count."""
        return self.grown > max(least, MOST * self.level)


def trend(series: Sequence[float]) -> Trend:
    """The trend of evenly spaced samples, at least two."""
    width = max(len(series) // POINTS, 1)
    points = [median(series[at : at + width]) for at in range(0, len(series) - width + 1, width)]
    slopes = [(b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(points), 2)]
    return Trend(median(points), median(slopes) * (len(points) - 1))
