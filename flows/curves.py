"""Curves small enough for one line of text: whole histories at a bounded size, drawn as sparklines."""

import math
from collections.abc import Sequence
from itertools import pairwise

_MAX_POINTS = 256
_LEVELS = "▁▂▃▄▅▆▇█"
_NO_NUMBER = "×"


class Curve:
    """A history of any length in at most 256 means, each of equally many values, the last perhaps of fewer."""

    def __init__(self) -> None:
        self._sums: list[float] = []
        self._per_point = 1
        self._in_last = 0

    def add(self, value: float) -> None:
        if self._sums and self._in_last < self._per_point:
            self._sums[-1] += value
            self._in_last += 1
            return
        if len(self._sums) == _MAX_POINTS:
            self._sums = [sum(pair) for pair in zip(self._sums[::2], self._sums[1::2], strict=True)]
            self._per_point *= 2
        self._sums.append(value)
        self._in_last = 1

    def points(self) -> list[float]:
        """Oldest first; nan or infinite where a value was."""
        whole = [total / self._per_point for total in self._sums[:-1]]
        return [*whole, *(total / self._in_last for total in self._sums[-1:])]


def sparkline(values: Sequence[float], width: int) -> str:
    """At most `width` characters from the lowest (`▁`) to the highest (`█`) value, `×` where one is no number."""
    count = min(width, len(values))
    edges = [index * len(values) // max(count, 1) for index in range(count + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(_character(mean, low, high) for mean in means)


def _character(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return _NO_NUMBER
    share = (value - low) / (high - low) if high > low else 0.5
    return _LEVELS[min(int(share * len(_LEVELS)), len(_LEVELS) - 1)]
