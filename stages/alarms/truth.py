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

_CANDIDATES = 12
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
"""Share of groups without spread above which axolotl's documentation sees no more learning, and share of the highest
reward at which rewardspy calls a run saturated."""

MOSTLY_RIGHT = 0.9


def of_late(history: History, name: str) -> float:
    """Mean of a metric's last window; 0 where it was never logged."""
    points = present(history, name)
    return fmean(values_of(points[-width(points) :]) or [0.0])


def is_at_ceiling(history: History) -> bool:
    """The reward of late is nearly the highest there is, or nearly all groups are alike by being right.

    The second covers a reward whose highest is not 1, as with `source_weights`: the held-out accuracy tells.
    """
    if (reward := of_late(history, REWARD)) >= _CEILING:
        return True
    is_right = reward >= NEARLY_ALL_ALIKE or of_late(history, ACCURACY) >= MOSTLY_RIGHT
    return is_right and of_late(history, NO_SPREAD) >= NEARLY_ALL_ALIKE


def has_paid(history: History, since: int) -> bool:
    """Whether the policy ever became better after the step: in held-out accuracy where that was measured on both sides
    and says so or denies it, in reward otherwise."""
    accuracy, reward = present(history, ACCURACY), present(history, REWARD)
    split = until(accuracy, since)
    if 0 < split < len(accuracy):
        then, now = range(max(0, split - 2), split), range(max(split, len(accuracy) - 2), len(accuracy))
        gained = Evaluations(history).change(then, now)
        if not 1 <= gained.errors() <= LIKELY:
            return gained.errors() > LIKELY
    split, span = max(1, until(reward, since)), width(reward)
    before, after = values_of(reward[max(0, split - span) : split]), values_of(reward[split:])
    span = min(span, len(after))
    if not before or not span:
        return False
    best = max((after[end - span : end] for end in range(span, len(after) + 1)), key=fmean)
    return change(before, best, noise(values_of(reward))).errors() > LIKELY


def reward_hacking(history: History) -> Finding | None:
    """The reward rose while held-out accuracy certainly did not rise with it, or accuracy fell while the reward did not.

    Silent where the accuracy had no room to rise, and where both fall: then the policy is worse by either measure.
    """
    count, reward = len(present(history, ACCURACY)), present(history, REWARD)
    spread = fmean(values_of(present(history, SPREAD)) or [0.0])
    if count < _FEWEST_EVALUATIONS or len(reward) < FEWEST or spread == 0:
        return None
    evaluations = Evaluations(history)
    pool = max(2, count // 6)
    now = range(count - pool, count)
    found: list[tuple[float, int, Change, Change]] = []
    for last in range(0, now.start, -(-now.start // _CANDIDATES)):
        then = range(max(0, last - pool + 1), last + 1)
        truth, paid = evaluations.change(then, now), evaluations.reward_change(then, now)
        if (weight := _divergence(evaluations.mean(then), truth, paid, spread)) > 0:
            found.append((weight, last, truth, paid))
    if not found:
        return None
    most = max(found, key=itemgetter(0))[0]
    _, last, truth, paid = [item for item in found if item[0] >= _NEARLY_MOST * most][-1]
    since = history[ACCURACY][last][0]
    moved = "fell" if truth.errors() <= -LIKELY else "did not rise"
    return Finding(
        since,
        ACCURACY,
        f"since step {since} the reward changed by {paid.size:+.3g} while held-out accuracy {moved} "
        f"({truth.size:+.3f} ± {LIKELY * truth.error:.3f}), now {evaluations.mean(now):.3f}",
    )


def _divergence(accuracy: float, truth: Change, paid: Change, spread: float) -> float:
    """How far the two parted, in standard deviations of one completion; 0 where they did not for sure."""
    odds = min(max(accuracy, 0.02), 0.98)
    scale = sqrt(odds * (1 - odds))
    rise = paid.size / spread
    if rise >= _RISE and paid.errors() >= SURE:
        room = (1 - accuracy) / scale
        if truth.at_most() / scale < _FLAT * min(rise, room):
            return rise - truth.size / scale
    fall = -truth.size / max(scale, _LEAST_SCALE)
    if fall >= _FALL and truth.errors() <= -SURE and rise > -0.25 * fall and paid.errors() > -LIKELY:
        return rise + fall
    return 0.0


class Evaluations:
    """Held-out accuracy, and the reward of the same time."""

    def __init__(self, history: History) -> None:
        points, reward = history[ACCURACY], history[REWARD]
        self._accuracy = [value for _, value in points]
        widths = [
            high - low
            for (_, low), (_, high) in zip(history[ACCURACY_LOW], history[ACCURACY_HIGH], strict=True)
        ]
        told = fmean(widths) / (2 * _NORMAL_95)
        self._sigma = told if len(points) < FEWEST else max(told, noise(self._accuracy))
        """The larger of two errors: the one the intervals tell, and how much neighbouring evaluations differ."""
        self._span = width(reward)
        self._reward_sigma = noise([value for _, value in reward])
        self._ends = [max(self._span, until(reward, step)) for step, _ in points]
        self._sums = list(accumulate((value for _, value in reward), initial=0.0))

    def mean(self, at: range) -> float:
        """Accuracy."""
        return fmean(self._accuracy[at.start : at.stop])

    def change(self, then: range, now: range) -> Change:
        """Of the accuracy."""
        return change(
            self._accuracy[then.start : then.stop], self._accuracy[now.start : now.stop], self._sigma
        )

    def reward_change(self, then: range, now: range) -> Change:
        """Of the reward, between the windows that end with these evaluations."""
        size = fmean(map(self._reward, now)) - fmean(map(self._reward, then))
        return Change(size, self._reward_sigma * sqrt(2 / self._span))

    def _reward(self, evaluation: int) -> float:
        end = self._ends[evaluation]
        return (self._sums[end] - self._sums[end - self._span]) / self._span
