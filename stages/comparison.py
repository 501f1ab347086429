"""Is one model better than another? Intervals and tests for rewards, clustered by problem.

Samples of one problem resemble each other, so a problem counts once, with its mean reward. Two models that
answer the same problems are compared problem by problem, which removes the problems' own difficulty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from data_contracts.errors import StageError

Floats: TypeAlias = NDArray[np.float64]

_RESAMPLES = 1999
_BATCH = 100


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """After minus before, in mean reward."""

    difference: float
    low: float
    high: float
    """The 95 % interval of `difference`, by bootstrap over problems."""

    p_value: float
    """Two-sided, by flipping the sign of each problem's difference."""

    num_problems: int


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The share of successes lies in here. `successes` counts rewards that equal 1."""
    if trials == 0:
        return 0.0, 1.0
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Chance that k of the samples hold a right one: 1 - C(n-c, k) / C(n, k) (arXiv 2107.03374).

    Unbiased, unlike 1 - (1 - c/n)^k.
    """
    if not 1 <= k <= num_samples:
        raise StageError(
            f"pass@{k} was asked of {num_samples} samples per problem.",
            f"k between 1 and {num_samples}",
            "Draw more samples or ask for a smaller k.",
        )
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)


def paired_comparison(
    before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]], seed: int
) -> PairedComparison:
    """Compare rewards by problem id. One problem alone says nothing of others: interval [-1, 1], p 1."""
    _require_same_problems(before, after)
    differences = np.array([fmean(after[problem]) - fmean(before[problem]) for problem in sorted(before)])
    difference = float(differences.mean())
    if len(differences) == 1:
        return PairedComparison(difference, -1.0, 1.0, 1.0, 1)
    low, high = _bootstrap_interval(differences, seed)
    return PairedComparison(difference, low, high, _sign_flip_p(differences, seed), len(differences))


def _require_same_problems(before: Mapping[str, object], after: Mapping[str, object]) -> None:
    unpaired = sorted(before.keys() ^ after.keys())
    if unpaired or not before:
        raise StageError(
            f"{len(unpaired)} problems have rewards on one side only, such as {unpaired[0]!r}."
            if unpaired
            else "There is no problem to compare.",
            "rewards of the same problems before and after",
            "Verify both models on the same rows, with the same limit.",
        )


def _bootstrap_interval(differences: Floats, seed: int) -> tuple[float, float]:
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=_BATCH,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _sign_flip_p(differences: Floats, seed: int) -> float:
    """Exact while 2^n is small. A problem without a difference looks the same flipped: it is left out."""
    changed = differences[differences != 0]
    if len(changed) < 2:  # one difference is as large either way
        return 1.0
    test = stats.permutation_test(
        (changed,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=_BATCH,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)
