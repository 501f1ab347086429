"""Faults of the optimization itself, seen within a few points: no numbers, gradients and losses that jump and stay.

A single batch may have a gradient ten times the usual, and a loss far off; so these rules ask for the median of the
newest points, which one or two such batches do not move.
"""

from math import inf, isfinite, log, sqrt
from statistics import fmean, median

from data_contracts.histories import History
from stages.alarms.evidence import FEWEST, Finding, left, noise, present

_NEWEST = 7
_MEDIAN_ERROR = 1.2533
"""Standard error of a median over that of a mean, for normal noise: sqrt(pi / 2)."""

_SURE = 5.0
"""Standard errors: these rules are asked at every point, not at every window's."""


def not_finite(history: History, metrics: tuple[str, ...]) -> Finding | None:
    """The newest value of one of the metrics is nan or infinite."""
    for metric in metrics:
        points = present(history, metric)
        if not points or isfinite(points[-1][1]):
            continue
        since = next((step for step, value in reversed(points) if isfinite(value)), 0)
        return Finding(since, metric, f"{metric} is {points[-1][1]} at step {points[-1][0]}")
    return None


def gradient_explosion(history: History, metric: str) -> Finding | None:
    """Gradients are five times what they were, for more than a batch or two."""
    values = [value for _, value in present(history, metric) if 0 < value < inf]
    if len(values) < FEWEST + _NEWEST:
        return None
    now = median(values[-_NEWEST:])
    if now < 5 * min(values):
        return None
    then = median(values[:-_NEWEST])
    logs = [log(value) for value in values[:-_NEWEST]]
    error = _MEDIAN_ERROR * noise(logs) * sqrt(1 / _NEWEST + 1 / len(logs))
    if log(now / then) < max(log(5), _SURE * error):
        return None
    since = left(history[metric], then, now)
    return Finding(since, metric, f"the gradient norm went from {then:.3g} to {now:.3g} and stays there")


def loss_spike(history: History, metric: str) -> Finding | None:
    """The loss jumped by a quarter or more and does not come back."""
    points = present(history, metric)
    values = [value for _, value in points if isfinite(value)]
    if len(values) < FEWEST + _NEWEST:
        return None
    now = median(values[-_NEWEST:])
    if now < 1.25 * min(values):
        return None
    earlier = values[:-_NEWEST]
    then = fmean(earlier)
    error = noise(earlier) * sqrt(_MEDIAN_ERROR**2 / _NEWEST + 1 / len(earlier))
    if now - then < max(0.25 * abs(then), _SURE * error):
        return None
    return Finding(
        left(points, then, now), metric, f"the loss went from {then:.3g} to {now:.3g} and stays there"
    )
