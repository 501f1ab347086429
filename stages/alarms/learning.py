"""Whether anything is learned, and whether it holds beyond the rows it was learned from."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean

from data_contracts.histories import History, Point
from stages.alarms.evidence import (
    FEWEST,
    LIKELY,
    SURE,
    Change,
    Finding,
    change,
    noise,
    present,
    until,
    values_of,
    width,
)
from stages.alarms.truth import (
    ACCURACY,
    REWARD,
    SPREAD,
    is_mostly_right,
    truth_gained,
)

_WORTH = 0.15
"""Of the spread between completions: less than a small effect, 0.2 (Cohen, Statistical Power Analysis, 1988)."""

_LEAST_WORTH = 0.02
"""Of the highest reward: where hardly a completion is right there is hardly a spread."""

_WORTH_OF_LOSS = 0.05
"""Of the first loss."""

_GAINED = 3.0
"""Standard errors by which the best of several windows is better than the first."""

_FEWEST_EVALUATIONS = 6


def reward_stall(history: History, planned_steps: int) -> Finding | None:
    """Half of the planned steps are done and the reward never rose, nor did held-out accuracy.

    Never: a curriculum may have taken back what was gained, and a run that is done learning has learned.
    """
    points = present(history, REWARD)
    if not _is_due(points, planned_steps) or is_mostly_right(history):
        return None
    best = _best_gain(points, sign=1)
    spread = fmean(values_of(present(history, SPREAD)) or [0.0])
    if best.errors() > _GAINED or best.at_most() > max(_WORTH * spread, _LEAST_WORTH):
        return None
    measured = present(history, ACCURACY)
    if measured and truth_gained(history, measured[0][0]):
        return None
    step, now = points[-1][0], fmean(values_of(points[-4:]))
    return Finding(
        points[0][0], REWARD, f"the reward is {now:.3g} at step {step} and was never better for sure"
    )


def loss_stall(history: History, planned_steps: int, metric: str) -> Finding | None:
    """Half of the planned steps are done and the loss never fell."""
    points = present(history, metric)
    if not _is_due(points, planned_steps):
        return None
    start = fmean(values_of(points[:4]))
    best = _best_gain(points, sign=-1)
    if best.errors() > _GAINED or best.at_most() > _WORTH_OF_LOSS * abs(start):
        return None
    step, now = points[-1][0], fmean(values_of(points[-4:]))
    return Finding(points[0][0], metric, f"the loss is {now:.3g} at step {step} and was never lower for sure")


def _is_due(points: Sequence[Point], planned_steps: int) -> bool:
    return len(points) >= 2 * FEWEST and 2 * points[-1][0] >= planned_steps


def _best_gain(points: Sequence[Point], sign: int) -> Change:
    """From the first quarter to the best quarter after it."""
    values = values_of(points)
    span, sigma = max(4, len(values) // 4), noise(values)
    later = [values[end - span : end] for end in range(2 * span, len(values) + 1, span // 2)]
    gains = [change(values[:span], window, sigma) for window in later]
    best = max(gains, key=lambda gain: sign * gain.size)
    return Change(sign * best.size, best.error)


def over_fitting(history: History, held_out: str, training: str) -> Finding | None:
    """The held-out loss gave back a fifth of what it had gained while the training loss did not rise."""
    points = present(history, held_out)
    if len(points) < _FEWEST_EVALUATIONS:
        return None
    values = values_of(points)
    pool = max(2, len(values) // 6)
    means = [fmean(values[at : at + pool]) for at in range(len(values) - pool + 1)]
    best = min(range(len(means)), key=lambda at: means[at])
    rise = Change(means[-1] - means[best], noise(values) * sqrt(2 / pool))
    if rise.errors() < SURE or rise.size < 0.2 * (values[0] - means[best]):
        return None
    since = points[best + pool - 1][0]
    trained = present(history, training)
    split = until(trained, since)
    before, after = values_of(trained[:split])[-width(trained) :], values_of(trained[split:])
    if before and after and change(before, after, noise(values_of(trained))).errors() > LIKELY:
        return None
    return Finding(
        since,
        held_out,
        f"the held-out loss rose from {means[best]:.3g} at step {since} to {means[-1]:.3g} in training on",
    )
