"""Less and less variety: entropy, diversity, and groups whose completions all earn the same.

To lose variety is how a policy gains reward (Cui et al., arXiv 2505.22617: entropy is spent for performance), so no
loss is a fault by itself. It is one when nothing was gained for it.
"""

from math import sqrt
from statistics import fmean

from data_contracts.histories import History
from stages.alarms.evidence import (
    FEWEST,
    SURE,
    Finding,
    left,
    present,
    since_start,
    values_of,
    width,
)
from stages.alarms.truth import (
    NEARLY_ALL_ALIKE,
    NO_SPREAD,
    REWARD,
    has_paid,
    is_at_ceiling,
    is_mostly_right,
    of_late,
)

ENTROPY = "grpo/entropy"
DISTINCT = "grpo/distinct_2"
SIMILARITY = "grpo/self_similarity"

_MOST_GROUPS = 0.5
"""Share of groups without spread at which rewardspy warns."""


def entropy_collapse(history: History) -> Finding | None:
    """Four fifths of the entropy are lost, and nothing was gained over the latter half of that way.

    axolotl's documentation calls 0.05 to 0.5 healthy: four fifths are two thirds of that way down, in logarithms.
    """
    return _lost(history, ENTROPY, 0.2)


def diversity_collapse(history: History) -> Finding | None:
    """Half of the distinct word pairs, or three quarters of what tells a group's completions apart, are lost, and
    nothing was gained for it."""
    return _lost(history, DISTINCT, 0.5) or _lost(history, SIMILARITY, 0.25)


def _lost(history: History, metric: str, share: float) -> Finding | None:
    """What was left of a metric's starting level is below the share, for nothing."""
    points = present(history, metric)
    if len(points) < FEWEST:
        return None
    if metric == SIMILARITY:
        points = [(step, 1 - value) for step, value in points]
    span = width(points)
    start, now = fmean(values_of(points[:span])), fmean(values_of(points[-span // 2 :]))
    if now >= share * start or since_start(points).errors() > -SURE or is_at_ceiling(history):
        return None
    half_lost = sqrt(share) * start
    since = next((step for step, value in reversed(points) if value >= half_lost), points[0][0])
    if has_paid(history, since):
        return None
    kept = "difference within groups" if metric == SIMILARITY else metric
    return Finding(
        since,
        metric,
        f"{kept} fell from {start:.3g} to {now:.3g} since step {since} and nothing was gained for it",
    )


def saturation(history: History) -> Finding | None:
    """The reward is at its ceiling and hardly a group has spread: nothing is left to learn from these problems.

    No fault; and while one group in five still teaches something, not said.
    """
    reward = present(history, REWARD)
    level, share = of_late(history, REWARD), of_late(history, NO_SPREAD)
    if len(reward) < FEWEST or share < NEARLY_ALL_ALIKE or not is_at_ceiling(history):
        return None
    since = left(reward, fmean(values_of(reward[: width(reward)])), level)
    return Finding(since, REWARD, f"the reward is {level:.3f} and {share:.0%} of the groups have no spread")


def no_spread(history: History) -> Finding | None:
    """More and more groups teach nothing, and not because the policy became right about them.

    Where it did, that is `saturation`, or on the way there.
    """
    alike, reward = present(history, NO_SPREAD), present(history, REWARD)
    if len(alike) < FEWEST or len(reward) < FEWEST:
        return None
    span = width(alike)
    start, now = fmean(values_of(alike[:span])), fmean(values_of(alike[-span:]))
    if now < _MOST_GROUPS or now - start < 0.2 or since_start(alike).errors() < SURE:
        return None
    since = left(alike, start, now)
    if is_mostly_right(history) or has_paid(history, since):
        return None
    level = of_late(history, REWARD)
    why = (
        "nearly all wrong: the problems are too hard"
        if level <= 0.2
        else "each problem always right or never"
    )
    return Finding(
        since,
        NO_SPREAD,
        f"groups without spread went from {start:.0%} to {now:.0%} while the reward stayed at {level:.3g}, {why}",
    )
