"""How fast a stage goes, and when it will be done, from what it did last."""

from collections import deque
from itertools import pairwise
from statistics import median

_INTERVALS = 40
_BLOCKS = 5


class Pace:
    """Seconds a step: the median of the means of up to five blocks of the last forty intervals.

    A median of means (Lugosi and Mendelson, arXiv 1906.04280): one slow step, the first above all, spoils a block
    and not the result, and steps that are slow by turns, as where one of two samples for both, count in full.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[int, float]] = deque(maxlen=_INTERVALS + 1)

    def note(self, step: int, seconds: float) -> None:
        """The stage came to `step`, `seconds` after it began."""
        if not self._seen or step > self._seen[-1][0]:
            self._seen.append((step, seconds))

    def seconds_per_step(self) -> float | None:
        """None before two steps were seen."""
        intervals = len(self._seen) - 1
        if intervals < 1:
            return None
        blocks = min(_BLOCKS, intervals)
        edges = [self._seen[block * intervals // blocks] for block in range(blocks + 1)]
        return median((until - since) / (last - first) for (first, since), (last, until) in pairwise(edges))


def time_left(seconds: float) -> str:
    """`12 s`, `4 min 10 s`, `1 h 23 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def speed(seconds_per_step: float, unit: str) -> str:
    """`2.5 steps/s`, or `12.0 s a step` where one takes longer than a second."""
    if seconds_per_step > 1:
        return f"{seconds_per_step:.1f} s a {unit}"
    rate = 1 / max(seconds_per_step, 1e-6)
    return f"{rate:.1f} {unit}s/s" if rate < 100 else f"{rate:,.0f} {unit}s/s"
