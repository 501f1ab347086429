"""Does what is paid for agree with what is wanted? The training reward beside the held-out accuracy.

Both are measured in standard deviations of one completion's score, so that a reward of any scale can be set beside an
accuracy: the reward's are logged with it, the accuracy's is that of a coin with its odds. Held-out accuracy comes with
its 95 % interval (Wilson), so what it did not do can be claimed with a known error: that is what makes "flat" a finding
and not a lack of data. Proxy and truth part under pressure as Gao, Schulman and Hilton show (arXiv 2210.10760).
"""

from itertools import accumulate
from math import sqrt
from operator import itemgetter
from statistics import fmean

from data_contracts.histories import History
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

REWARD = "grpo/reward"
SPREAD = "grpo/reward_std"
NO_SPREAD = "grpo/frac_reward_zero_std"
ACCURACY = "grpo/held_out/accuracy"
ACCURACY_LOW, ACCURACY_HIGH = f"{ACCURACY}_low", f"{ACCURACY}_high"
_FEWEST_EVALUATIONS = 3
_NEARLY_MOST = 0.8
"""Of the largest divergence: where several earlier evaluations show it, it began after the last of them."""

_CANDIDATES = 20
"""Earlier evaluations that the newest are compared with; of more, every second, third, ..."""

_RISE = 0.5
"""Standard deviations: a medium effect (Cohen, Statistical Power Analysis, 1988)."""

_FALL = 0.1
_LEAST_SCALE = 0.3
"""Of an accuracy of 0.9: so that of one near 1, a fall by 0.03 is the least to speak of."""

_FLAT = 0.2
"""Share of the reward's rise that the truth's rise is certainly below."""

_NORMAL_95 = 1.96
_CEILING = 0.95
"""Mean reward at which nothing is left to learn; a completion's reward is at most 1."""

NEARLY_ALL_ALIKE = 0.8
"""Share of groups without spread above which axolotl's documentation sees no more learning."""

_HIGH_REWARD = 0.8
_HIGH_ACCURACY = 0.9
"""At these, what stays wrong is too little to call a lack of spread, or of gain, a fault."""

_WORTH = 0.1
"""Of the spread of rewards between completions: what pays for a loss of variety, or for twice the length."""

_WORTH_OF_ACCURACY = 0.03
_DENIED = 0.08
"""Held-out accuracy that certainly gained less gained nothing: a sixth of a coin's standard deviation."""


def of_late(history: History, name: str) -> float:
    """Mean of a metric's last window; 0 where it was never logged."""
    points = present(history, name)
    return fmean(values_of(points[-width(points) :]) or [0.0])


def is_at_ceiling(history: History) -> bool:
    """The reward of late is nearly the highest there is, or nearly all groups are alike by being right.

    By the second, held-out accuracy tells of a reward whose highest is below 1, as it may be with `source_weights`.
    """
    if of_late(history, REWARD) >= _CEILING:
        return True
    return is_mostly_right(history) and of_late(history, NO_SPREAD) >= NEARLY_ALL_ALIKE


def is_mostly_right(history: History) -> bool:
    """By its reward or by its held-out accuracy."""
    return of_late(history, REWARD) >= _HIGH_REWARD or of_late(history, ACCURACY) >= _HIGH_ACCURACY


def has_paid(history: History, since: int) -> bool:
    """Whether the policy ever became better after the step: by held-out accuracy where that can tell, by reward where
    not."""
    if (told := truth_gained(history, since)) is not None:
        return told
    reward = present(history, REWARD)
    split, span = max(1, until(reward, since)), width(reward)
    before, after = values_of(reward[max(0, split - span) : split]), values_of(reward[split:])
    span = min(span, len(after))
    if not before or not span:
        return False
    best = max((after[end - span : end] for end in range(span, len(after) + 1)), key=fmean)
    gained = change(before, best, noise(values_of(reward)))
    return gained.errors() > LIKELY and gained.size > _WORTH * _spread(history)


def truth_gained(history: History, since: int) -> bool | None:
    """Whether held-out accuracy rose after the step; None where it was not measured on both sides, or too coarsely."""
    accuracy = present(history, ACCURACY)
    split = until(accuracy, since)
    if not 0 < split < len(accuracy):
        return None
    then, now = range(max(0, split - 2), split), range(max(split, len(accuracy) - 2), len(accuracy))
    gained = _Accuracy(history).change(then, now)
    if gained.errors() > LIKELY and gained.size > _WORTH_OF_ACCURACY:
        return True
    return False if gained.size + LIKELY * gained.error < _DENIED else None


def _spread(history: History) -> float:
    """Standard deviation of the rewards of completions, over the whole run."""
    return fmean(values_of(present(history, SPREAD)) or [0.0])


def reward_hacking(history: History) -> Finding | None:
    """The reward rose while held-out accuracy certainly did not rise with it, or the reward held while that fell.

    Silent where the accuracy had no room to rise, and where both fall: then the policy is worse by either measure.
    """
    count, reward = len(present(history, ACCURACY)), present(history, REWARD)
    spread = _spread(history)
    if count < _FEWEST_EVALUATIONS or len(reward) < FEWEST or spread == 0:
        return None
    accuracy, beside = _Accuracy(history), _RewardBeside(history)
    pool = max(2, count // 8)
    now = range(count - pool, count)
    stride = -(-now.start // _CANDIDATES)
    found: list[tuple[float, int, Change, Change]] = []
    for last in range(now.start - 1, -1, -stride):
        then = range(max(0, last - pool + 1), last + 1)
        truth, paid = accuracy.change(then, now), beside.change(then, now)
        if (weight := _divergence(accuracy.mean(then), truth, paid, beside.above(then, now), spread)) > 0:
            found.append((weight, last, truth, paid))
    if not found:
        return None
    most = max(found, key=itemgetter(0))[0]
    _, last, truth, paid = next(item for item in found if item[0] >= _NEARLY_MOST * most)
    since = history[ACCURACY][last][0]
    moved = "fell" if truth.errors() <= -LIKELY else "did not rise"
    return Finding(
        since,
        ACCURACY,
        f"since step {since} the reward changed by {paid.size:+.3g} while held-out accuracy {moved} "
        f"({truth.size:+.3f} ± {LIKELY * truth.error:.3f}), now {accuracy.mean(now):.3f}",
    )


def _divergence(accuracy: float, truth: Change, paid: Change, risen: Change, spread: float) -> float:
    """How far the two parted, in standard deviations of one completion; 0 where they did not for sure.

    `paid` is the reward's change, `risen` what of it is above all it had been: to recover is not to rise.
    """
    odds = min(max(accuracy, 0.02), 0.98)
    scale = sqrt(odds * (1 - odds))
    rise = risen.size / spread
    if rise >= _RISE and risen.errors() >= SURE:
        room = (1 - accuracy) / scale
        if truth.at_most() / scale < _FLAT * min(risen.at_least() / spread, room):
            return rise - truth.size / scale
    rise = paid.size / spread
    fall = -truth.size / max(scale, _LEAST_SCALE)
    if fall >= _FALL and truth.errors() <= -SURE and rise > -0.25 * fall and paid.errors() > -LIKELY:
        return rise + fall
    return 0.0


class _Accuracy:
    """Held-out accuracy, pooled over neighbouring evaluations."""

    def __init__(self, history: History) -> None:
        self._values = values_of(history[ACCURACY])
        lows, highs = values_of(history[ACCURACY_LOW]), values_of(history[ACCURACY_HIGH])
        told = (fmean(highs) - fmean(lows)) / (2 * _NORMAL_95)
        self._sigma = told if len(self._values) < FEWEST else max(told, noise(self._values))
        """The larger of two errors: the one the intervals tell, and how much neighbouring evaluations differ."""

    def mean(self, at: range) -> float:
        return fmean(self._values[at.start : at.stop])

    def change(self, then: range, now: range) -> Change:
        return change(self._values[then.start : then.stop], self._values[now.start : now.stop], self._sigma)


class _RewardBeside:
    """The reward in the windows that end with the evaluations."""

    def __init__(self, history: History) -> None:
        reward = history[REWARD]
        span = width(reward)
        sums = list(accumulate(values_of(reward), initial=0.0))
        ends = [max(span, until(reward, step)) for step, _ in history[ACCURACY]]
        self._error = noise(values_of(reward)) * sqrt(2 / span)
        self._means = [(sums[end] - sums[end - span]) / span for end in ends]
        self._highest = list(accumulate(self._means, max))

    def change(self, then: range, now: range) -> Change:
        before = fmean(self._means[then.start : then.stop])
        return Change(fmean(self._means[now.start : now.stop]) - before, self._error)

    def above(self, then: range, now: range) -> Change:
        """The change from the highest there was up to `then`."""
        return Change(fmean(self._means[now.start : now.stop]) - self._highest[then.stop - 1], self._error)
