"""What paired measurements prove of a mean difference: an interval and a test that never contradict each other.

Interval and p are read from the same two confidence distributions, one for the lower end, one for the upper: a value
lies outside the interval at 1 - alpha exactly when its two-sided p is at most alpha. For no difference at all, that p
is the exact McNemar test's (pass or fail) or the sign-flip permutation test's (scores). For any other value it comes
from melding two things that chance decides apart: how many problems change, and by how much those that do (Fay and
Lumbard 2021, "Confidence intervals for difference in proportions for matched pairs compatible with exact McNemar's or
sign tests"). Asymptotically that is the t interval; with few changes it stays honest, where resampling
three changed problems, or none, would claim to know the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, fsum, log, log1p, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import betaincinv
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import normal_sample_size_one_tail

Floats: TypeAlias = NDArray[np.float64]
_Spread: TypeAlias = tuple[Floats, Floats]
"""Values, and the cumulative chances they have in ascending order."""

_DRAWS = 9999
"""Random subsets: p is at least 0.0002. Where there are not more subsets than this, all are taken."""

_STEPS = 4999
"""Of the grid on which a distribution that is known is laid out, each side of 0."""

_BATCH = 500
_NEARLY_ALL = 0.999
_GOLDEN_RATIO = (1 + sqrt(5)) / 2
_DIGITS = 12
"""Of a difference: the rounding of shares such as 1/3 makes no problem differ."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """A confidence distribution for the lower end of the effect."""

    values: Floats
    """Ascending."""

    chances: Floats
    """Cumulative, up to 1."""

    def chance_up_to(self, value: float) -> float:
        """The one-sided p of the claim that the effect is above `value`."""
        position = int(np.searchsorted(self.values, value, side="right"))
        return float(self.chances[position - 1]) if position else 0.0

    def end(self, chance: float) -> float:
        """The smallest value whose one-sided p is above `chance`."""
        return float(self.values[np.searchsorted(self.chances, chance, side="right")])


@dataclass(frozen=True, slots=True)
class PairedEvidence:
    """What n pairs show of the mean of after minus before."""

    differences: Floats
    test: str
    """In words."""

    reach: float
    """The largest difference there can be."""

    _lower: _Bound
    _mirrored_upper: _Bound
    """The lower end's distribution for before minus after."""

    @property
    def effect(self) -> float:
        return fsum(self.differences) / len(self.differences)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided at 1 - alpha: the values whose p is above alpha."""
        # Adding 0 turns -0.0 into 0.0.
        return self._lower.end(alpha / 2) + 0.0, -self._mirrored_upper.end(alpha / 2) + 0.0

    def p_above(self, value: float) -> float:
        """One-sided p of the claim that the effect is above `value`."""
        return self._lower.chance_up_to(value)

    def p_below(self, value: float) -> float:
        return self._mirrored_upper.chance_up_to(-value)

    def p_value(self, value: float = 0.0) -> float:
        """Two-sided p of the claim that the effect is not `value`."""
        return min(1.0, 2 * min(self.p_above(value), self.p_below(value)))

    def needed(self, value: float, alpha: float, power: float) -> int | None:
        """`needed_pairs` of what was measured; more than there are, since these did not decide."""
        pairs = needed_pairs(self.differences, value, alpha, power, self.reach)
        return None if pairs is None else max(pairs, len(self.differences) + 1)


def paired_evidence(before: Floats, after: Floats, *, reach: float, seed: int) -> PairedEvidence:
    """Compare measurements of the same problems, one a problem.

    Outcomes (all 0 or 1) are compared by exact McNemar, everything else by flipping signs. The order of the problems
    decides which random subset each is in, and nothing else.
    """
    differences = np.round(after - before, _DIGITS)
    num_changed = int(np.count_nonzero(differences))
    has_outcomes = bool(np.isin(np.concatenate([before, after]), (0.0, 1.0)).all())
    gained = int((differences > 0).sum())
    if has_outcomes:
        test = f"exact McNemar, {gained:,} against {num_changed - gained:,} discordant"
    else:
        test = f"sign-flip permutation, {num_changed:,} of {len(differences):,} problems differ"
    means = _means_of_outcomes if has_outcomes else _means_of_subsets
    up, down = means(differences, reach, seed)
    return PairedEvidence(
        differences,
        test,
        reach,
        _melded(*up, differences),
        _melded(*down, differences),
    )


def needed_pairs(differences: Floats, value: float, alpha: float, power: float, reach: float) -> int | None:
    """Pairs that tell the mean of pairs like these from `value` with this power; None where they are equal.

    The normal approximation with the variance that each hypothesis has; for outcomes and no difference it is
    Connor's (Biometrics 43, 1987), enlarged for a count that moves in steps of one.
    """
    shift = abs(fsum(differences) / len(differences) - value)
    if round(shift, _DIGITS) == 0.0:
        return None
    pairs = normal_sample_size_one_tail(
        shift,
        power,
        alpha / 2,
        std_null=sqrt(float(np.mean((differences - value) ** 2))),
        std_alternative=float(differences.std()),
    )
    of_outcomes = bool(np.isin(differences, (-1.0, 0.0, 1.0)).all())
    if of_outcomes and pairs:
        # sqrt(n) (shift - 1/n) in place of sqrt(n) shift.
        pairs *= (1 + sqrt(1 + 4 / (pairs * shift))) ** 2 / 4
    if of_outcomes or not differences.any():
        # So many without a change, and changes of this size are seldom (the rule of three).
        pairs = max(pairs, log(alpha / 2) / log1p(-min(shift / reach, _NEARLY_ALL)))
    return ceil(pairs)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted for being asked together (Holm 1979)."""
    if len(p_values) < 2:  # the library takes a quarter of a second, for collecting garbage
        return list(p_values)
    return np.asarray(multipletests(p_values, method="holm")[1]).tolist()


def _means_of_outcomes(differences: Floats, reach: float, seed: int) -> tuple[_Spread, _Spread]:
    """The mean among the changed problems, from below; then of its opposite: Clopper and Pearson (1934)."""
    del reach, seed
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    return _mean_of_outcomes(gained, lost), _mean_of_outcomes(lost, gained)


def _mean_of_outcomes(gained: int, lost: int) -> _Spread:
    """From the share that went up, which is at least a draw of Beta(gained, lost + 1).

    Both sides of no difference are spread evenly over a grid; what each weighs is the binomial's own.
    """
    grid, steps = _grid(_STEPS), np.arange(1, _STEPS + 1) / _STEPS
    if gained == 0:
        return np.full(_STEPS, -1.0), steps
    left = float(stats.binom.sf(gained - 1, gained + lost, 0.5))
    below = np.minimum(betaincinv(gained, lost + 1, left * grid), 0.5)
    above = np.maximum(betaincinv(gained, lost + 1, left + (1 - left) * grid), np.nextafter(0.5, 1))
    return 2 * np.concatenate([below, above]) - 1, np.concatenate([left * steps, left + (1 - left) * steps])


def _means_of_subsets(differences: Floats, reach: float, seed: int) -> tuple[_Spread, _Spread]:
    """The same for scores: means of random subsets, as typical of the true mean as it is of them.

    Hartigan (1969, "Using subsample values as typical values"). A subset's mean is at most x exactly when flipping
    the signs of its members, measured from x, does not lower the sum: this is the sign-flip test of every x at
    once. The empty subset, which flips nothing, stands for the lowest mean there can be.
    """
    changed = differences[differences != 0]
    num_subsets = 2 ** len(changed)
    if num_subsets <= _DRAWS + 1:
        members = np.arange(num_subsets)[:, None] >> np.arange(len(changed)) & 1
        means = np.tile(_subset_means(changed, members), ceil(_DRAWS / num_subsets))
    else:
        rng = np.random.default_rng(seed)
        drawn = [
            _subset_means(changed, rng.integers(0, 2, (size, len(changed)), dtype=np.uint8))
            for size in (min(_BATCH, _DRAWS - start) for start in range(0, _DRAWS, _BATCH))
        ]
        means = np.concatenate([*drawn, [np.nan]])
    steps = np.arange(1, len(means) + 1) / len(means)
    return (np.nan_to_num(means, nan=-reach), steps), (np.nan_to_num(-means, nan=-reach), steps)


def _subset_means(changed: Floats, members: NDArray[np.integer]) -> Floats:
    """One a row of `members`; nan for the empty one."""
    sums, sizes = (members.astype(np.float64) @ np.column_stack([changed, np.ones(len(changed))])).T
    with np.errstate(invalid="ignore"):
        return np.round(sums, _DIGITS - 3) / sizes


def _melded(means: Floats, chances: Floats, differences: Floats) -> _Bound:
    """Times the share of problems that change: its upper bound where the mean is below 0, else its lower one.

    This leaves every value on its side of 0, and so the p of no difference at all what it is.
    """
    total, changed = len(differences), int(np.count_nonzero(differences))
    # Multiples of the golden ratio spread evenly over (0, 1) beside means in any order, ascending ones above all.
    grid = np.arange(0.5, len(means)) * _GOLDEN_RATIO % 1
    is_low, is_high = means < 0, means > 0
    values = means.copy()
    if changed < total:
        values[is_low] *= betaincinv(changed + 1, total - changed, grid[is_low])
    values[is_high] *= betaincinv(changed, total - changed + 1, grid[is_high])
    return _Bound(np.sort(values), chances)


def _grid(count: int) -> Floats:
    """Midpoints of as many equal parts of (0, 1)."""
    return (np.arange(count) + 0.5) / count
