"""How sure a change in a noisy metric is: windows of points, their noise, and the change between two of them.

The noise is read from differences of neighbouring points and not from their spread, so that a trend does not count as
noise: the mean moving range over 1.128, as on a control chart for individual values (NIST/SEMATECH e-Handbook of
Statistical Methods, 6.3.2.2). A change is given in standard errors, and the rules ask for four or more: a run is looked
at a hundred times, and a false alarm must be rarer than one run in a hundred over all rules.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, sqrt
from operator import itemgetter
from statistics import fmean

from data_contracts.histories import History, Point

_RANGE_OF_TWO = 1.128
"""Mean distance of two draws from a normal distribution, in its standard deviations."""

SURE = 4.0
"""Standard errors."""

LIKELY = 2.0
"""Standard errors; enough to be silent, never enough to speak."""

_AT_MOST = 2.5
"""Standard errors within which a change may hide that was not seen."""

FEWEST = 8
"""Points below which no rule about a trend speaks."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's condition holds."""

    since: int
    """The last step at which all was still well."""

    metric: str
    reason: str
    """One sentence with the numbers, without a full stop."""


@dataclass(frozen=True, slots=True)
class Change:
    """From one window to another."""

    size: float
    error: float
    """Standard error of `size`."""

    def errors(self) -> float:
        """`size` in standard errors."""
        if self.error > 0:
            return self.size / self.error
        return self.size * inf if self.size else 0.0

    def at_least(self) -> float:
        """The lower end of what it is likely to be."""
        return self.size - LIKELY * self.error

    def at_most(self) -> float:
        """The upper end of what it may be."""
        return self.size + _AT_MOST * self.error


def values_of(points: Sequence[Point]) -> list[float]:
    """Without their steps."""
    return [value for _, value in points]


def width(points: Sequence[Point]) -> int:
    """Points of a window: an eighth of the history, at least 4."""
    return max(4, len(points) // 8)


def noise(values: Sequence[float]) -> float:
    """Standard deviation of one value around a slow trend."""
    if len(values) < 2:
        return inf
    return fmean([abs(b - a) for a, b in pairwise(values)]) / _RANGE_OF_TWO


def change(before: Sequence[float], after: Sequence[float], sigma: float) -> Change:
    """Between the means of two windows whose values have the noise `sigma`; neither window is empty."""
    return Change(fmean(after) - fmean(before), sigma * sqrt(1 / len(before) + 1 / len(after)))


def since_start(points: Sequence[Point]) -> Change:
    """From the first window to the last."""
    span = width(points)
    sigma = noise(values_of(points))
    return change(values_of(points[:span]), values_of(points[-span:]), sigma)


def left(points: Sequence[Point], normal: float, now: float) -> int:
    """The step at which a metric left its normal level: the last of two neighbours that are no further than a quarter
    of the way from `normal` to `now`."""
    border = normal + 0.25 * (now - normal)
    still_well = [(value <= border) == (normal < now) for _, value in points]
    for position in range(len(points) - 1, 0, -1):
        if still_well[position] and still_well[position - 1]:
            return points[position][0]
    return points[0][0]


def until(points: Sequence[Point], step: int) -> int:
    """How many points are at or before the step."""
    return bisect_right(points, step, key=itemgetter(0))


def present(history: History, name: str) -> Sequence[Point]:
    """A metric's points, or none where it was not logged."""
    return history.get(name, ())
