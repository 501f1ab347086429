"""Paired evidence against McNemar's test, enumeration, the t interval, exact coverage and simulated comparisons."""

from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from stages.gate_tests import Floats, PairedEvidence, holm, needed_pairs, paired_evidence


def outcomes(gained: int, lost: int, total: int) -> PairedEvidence:
    """So many problems of one sample each, where so many went up and down."""
    before, after = np.zeros(total), np.zeros(total)
    after[:gained] = 1
    before[gained : gained + lost] = 1
    return paired_evidence(before, after, reach=1.0, seed=0)


def scores(differences: Floats, seed: int = 0) -> PairedEvidence:
    half = np.full(len(differences), 0.5)
    return paired_evidence(half, half + differences, reach=1.0, seed=seed)


# Pass or fail


@pytest.mark.parametrize(("gained", "lost"), [(16, 20), (55, 1), (0, 6), (5, 0), (1, 1), (0, 0), (130, 90)])
def test_pass_or_fail_is_compared_by_the_exact_mcnemar_test(gained: int, lost: int) -> None:
    table = [[0, gained], [lost, 400]]
    assert outcomes(gained, lost, 400).p_value() == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-9)


def test_the_published_schedulers_have_the_p_values_that_were_worked_out_for_them() -> None:
    by_hand = 2 * sum(comb(56, k) for k in (55, 56)) / 2**56
    assert outcomes(55, 1, 100).p_value() == pytest.approx(by_hand, rel=1e-12)
    assert outcomes(16, 20, 100).p_value() == pytest.approx(2 * sum(comb(36, k) for k in range(17)) / 2**36)


def test_without_a_change_the_interval_is_that_of_no_event_among_so_many() -> None:
    """Of n problems none changed: a share of changes s has chance (1 - s)^n, which is 2.5 % at the interval's end."""
    end = 1 - 0.025 ** (1 / 100)
    for evidence in (outcomes(0, 0, 100), scores(np.zeros(100))):
        assert evidence.interval(0.05) == pytest.approx((-end, end), rel=5e-3)


def test_one_problem_says_nothing_of_others() -> None:
    assert outcomes(1, 0, 1).interval(0.05) == pytest.approx((-0.95, 1.0), abs=1e-3), (
        "Clopper and Pearson, 1 of 1"
    )
    assert scores(np.array([0.25])).interval(0.05) == (-1.0, 1.0)
    assert outcomes(1, 0, 1).p_value() == scores(np.array([0.25])).p_value() == 1.0


@pytest.mark.parametrize(
    ("gained", "lost", "total"), [(16, 20, 100), (55, 1, 100), (30, 10, 400), (6, 0, 100)]
)
def test_the_interval_of_outcomes_is_that_of_melded_random_draws(gained: int, lost: int, total: int) -> None:
    """Of how many change and of how many of those go up, each drawn from its own exact lower or upper bound."""
    rng, draws, changed = np.random.default_rng(0), 100_000, gained + lost
    most, least = rng.beta(changed + 1, total - changed, draws), rng.beta(changed, total - changed + 1, draws)
    up = 2 * rng.beta(gained, lost + 1, draws) - 1
    low = np.quantile(np.where(up < 0, up * most, up * least), 0.025)
    assert outcomes(gained, lost, total).interval(0.05)[0] == pytest.approx(low, abs=3e-3)


def test_where_every_problem_changes_the_interval_is_that_of_clopper_and_pearson() -> None:
    """The share of changes is then known from below to be that of n in n successes: nearly 1."""
    low, high = outcomes(300, 100, 400).interval(0.05)
    exact = stats.binomtest(300, 400).proportion_ci(0.95, method="exact")
    assert (low, high) == pytest.approx((2 * exact.low - 1, 2 * exact.high - 1), abs=3e-3)


@pytest.mark.parametrize(("up", "down"), [(0.05, 0.05), (0.0, 0.06), (0.02, 0.12), (0.3, 0.05)])
def test_the_interval_of_outcomes_misses_the_truth_in_at_most_a_fortieth_on_either_side(
    up: float, down: float
) -> None:
    """Every table of 20 problems, each with its exact chance."""
    total, too_high, too_low = 20, 0.0, 0.0
    for gained, lost in product(range(15), range(10)):
        chance = float(
            stats.multinomial.pmf([gained, lost, total - gained - lost], total, [up, down, 1 - up - down])
        )
        if gained + lost <= total and chance > 1e-3:
            low, high = outcomes(gained, lost, total).interval(0.05)
            too_high += chance * (low > up - down)
            too_low += chance * (high < up - down)
    assert max(too_high, too_low) <= 0.025


# Scores


def test_scores_are_compared_by_flipping_the_sign_of_every_difference_that_there_is() -> None:
    differences = np.array([0.25, 0.25, -0.125, 0.5, 0.125, 0.0, 0.375, 0.25])
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in product([1, -1], repeat=8)
    ]
    by_hand = 2 * sum(each >= differences.sum() for each in sums) / 2**8
    assert scores(differences).p_value() == pytest.approx(by_hand)


def test_many_scores_agree_with_the_permutation_test_of_scipy() -> None:
    differences = np.random.default_rng(3).normal(0.02, 0.15, 200).round(3)
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(4)
    )
    assert scores(differences).p_value() == pytest.approx(theirs.pvalue, abs=0.015), (
        "3 standard errors of both"
    )


@pytest.mark.parametrize("shift", [0.0, 0.03])
def test_for_many_scores_interval_and_shifted_p_are_those_of_the_t_test(shift: float) -> None:
    rng = np.random.default_rng(5)
    ability = rng.uniform(0.1, 0.9, 800)
    differences = (rng.binomial(4, np.minimum(ability + shift, 1)) - rng.binomial(4, ability)) / 4
    evidence, theirs = scores(differences), stats.ttest_1samp(differences, 0)
    width = theirs.confidence_interval().high - differences.mean()
    assert evidence.interval(0.05) == pytest.approx(tuple(theirs.confidence_interval()), abs=0.08 * width)
    for value in (-0.01, 0.01, 0.02):
        expected = stats.ttest_1samp(differences, value, alternative="greater").pvalue
        assert evidence.p_above(value) == pytest.approx(expected, abs=0.015)


# Both

_DIFFERENCES = st.lists(st.sampled_from([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=30)
_OUTCOMES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


def _both(pairs: list[tuple[bool, bool]], differences: list[float]) -> list[tuple[Floats, Floats]]:
    shifted = np.array(differences) / 2
    return [
        (np.array([float(was) for was, _ in pairs]), np.array([float(now) for _, now in pairs])),
        (np.full(len(shifted), 0.5), 0.5 + shifted),
    ]


@settings(max_examples=30, deadline=None)
@given(_OUTCOMES, _DIFFERENCES, st.sampled_from([0.01, 0.05, 0.2]))
def test_p_and_interval_never_contradict_each_other(
    pairs: list[tuple[bool, bool]], differences: list[float], alpha: float
) -> None:
    for before, after in _both(pairs, differences):
        evidence = paired_evidence(before, after, reach=1.0, seed=0)
        low, high = evidence.interval(alpha)
        assert (evidence.p_value() <= alpha) == (low > 0 or high < 0)
        for value in (-0.3, 0.02, 0.4):
            assert (evidence.p_value(value) <= alpha) == (value < low or value > high)
        assert -1 <= low <= evidence.effect <= high <= 1


@settings(max_examples=30, deadline=None)
@given(_OUTCOMES, _DIFFERENCES)
def test_swapping_the_models_mirrors_everything(
    pairs: list[tuple[bool, bool]], differences: list[float]
) -> None:
    for before, after in _both(pairs, differences):
        there = paired_evidence(before, after, reach=1.0, seed=0)
        back = paired_evidence(after, before, reach=1.0, seed=0)
        low, high = there.interval(0.05)
        assert back.interval(0.05) == (-high, -low)
        assert (back.p_value(), back.effect) == (there.p_value(), -there.effect)
        assert back.p_below(-0.1) == there.p_above(0.1)


@settings(max_examples=30, deadline=None)
@given(_OUTCOMES, _DIFFERENCES, st.integers(1, 50))
def test_problems_on_which_both_are_equal_change_no_p_and_shrink_the_effect(
    pairs: list[tuple[bool, bool]], differences: list[float], more: int
) -> None:
    for before, after in _both(pairs, differences):
        few = paired_evidence(before, after, reach=1.0, seed=0)
        equal = np.full(more, before[0])
        many = paired_evidence(np.append(before, equal), np.append(after, equal), reach=1.0, seed=0)
        assert many.p_value() == few.p_value()
        assert abs(many.effect) <= abs(few.effect)


def test_rounding_of_shares_makes_no_difference() -> None:
    before, after = np.array([0.3, 0.7, 0.5]), np.array([0.1 + 0.2, 1 - 0.3, 0.5])
    evidence = paired_evidence(before, after, reach=1.0, seed=0)
    assert (evidence.effect, evidence.p_value()) == (0.0, 1.0)


def test_holm_multiplies_the_smallest_by_their_number_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


# How many problems would decide


def test_outcomes_need_what_makes_the_exact_test_find_the_effect_in_80_of_100_cases() -> None:
    """The exact test's power: over how many change (binomial), then over how many of those go up (binomial)."""
    for gained, lost in [(20, 10), (60, 40), (200, 160), (300, 200)]:
        up, changed = gained / (gained + lost), (gained + lost) / 1000
        differences = np.repeat([1.0, -1.0, 0.0], [gained, lost, 1000 - gained - lost])
        needed = needed_pairs(differences, 0.0, 0.05, 0.8, reach=1.0)
        assert needed is not None
        sizes = np.arange(needed + 1)
        least = stats.binom.isf(0.025, sizes, 0.5) + 1
        power = float((stats.binom.pmf(sizes, needed, changed) * stats.binom.sf(least - 1, sizes, up)).sum())
        assert 0.795 <= power <= 0.825


def test_scores_need_the_sample_size_of_the_t_test() -> None:
    differences = np.random.default_rng(1).normal(0.0, 0.2, 400)
    differences += 0.02 - differences.mean()
    by_hand = ((1.959964 + 0.841621) * differences.std() / 0.02) ** 2
    assert scores(differences).needed(0.0, 0.05, 0.8) == pytest.approx(by_hand, rel=0.02)
    assert scores(differences).needed(-0.02, 0.05, 0.8) == 401, "a quarter as many: already enough"


def test_nothing_tells_equal_values_apart() -> None:
    assert outcomes(7, 7, 100).needed(0.0, 0.05, 0.8) is None
    assert scores(np.array([0.25, -0.25, 0.5])).needed(0.5 / 3, 0.05, 0.8) is None


def test_a_margin_below_which_nothing_changed_takes_as_many_problems_as_make_that_unlikely() -> None:
    needed = outcomes(0, 0, 20).needed(-0.01, 0.05, 0.8)
    assert needed == 368, "log 0.025 / log 0.99 = 367.04"
    assert outcomes(0, 0, needed).interval(0.05)[0] == pytest.approx(-0.01, rel=5e-3)


# Simulated comparisons (the whole of it: tests/benchmarks/gate_table.py)


def _false_calls(num_problems: int, samples: int, times: int) -> tuple[float, float]:
    """Shares of better and of worse among comparisons of two equal models."""
    rng = np.random.default_rng([num_problems, samples])
    better = worse = 0
    for _ in range(times):
        ability = rng.beta(1, 1, num_problems)
        before, after = rng.binomial(samples, ability, (2, num_problems)) / samples
        evidence = paired_evidence(before, after, reach=1.0, seed=int(rng.integers(2**31)))
        better += evidence.p_value() <= 0.05 and evidence.effect > 0
        worse += evidence.p_value() <= 0.05 and evidence.effect < 0
    return better / times, worse / times


@pytest.mark.parametrize(("num_problems", "samples"), [(60, 1), (30, 4)])
def test_equal_models_are_seldom_called_better(num_problems: int, samples: int) -> None:
    better, worse = _false_calls(num_problems, samples, times=40)
    assert max(better, worse) <= 0.025 + 4 * sqrt(0.025 * 0.975 / 40)
