"""Statistics against hand-worked numbers, enumeration and the normal approximation."""

import math
import warnings
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import StageError
from stages.comparison import paired_comparison, pass_at_k, wilson_interval


def test_wilson_agrees_with_its_formula_for_8_of_10() -> None:
    # centre (0.8 + z^2/20) / (1 + z^2/10), half-width z sqrt(0.8 * 0.2 / 10 + z^2/400) / (1 + z^2/10)
    assert wilson_interval(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


def test_wilson_stays_inside_the_unit_interval_and_is_wider_when_surer() -> None:
    assert wilson_interval(0, 10) == pytest.approx((0.0, 3.8414588 / 13.8414588), abs=1e-6)
    low, high = wilson_interval(8, 10, confidence=0.99)
    assert low < 0.49
    assert high > 0.944


def test_without_trials_nothing_is_known() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_k_subsets_with_a_right_sample(case: tuple[int, int, int]) -> None:
    num_samples, num_correct, k = case
    subsets = list(combinations(range(num_samples), k))
    hits = sum(min(subset) < num_correct for subset in subsets)
    assert pass_at_k(num_samples, num_correct, k) == pytest.approx(hits / len(subsets))


def test_pass_at_k_needs_k_samples() -> None:
    with pytest.raises(StageError, match="pass@9"):
        pass_at_k(8, 3, 9)


def test_the_sign_flip_test_is_exact_for_few_problems() -> None:
    before = {"a": [0.0], "b": [0.0, 1.0], "c": [0.25], "d": [0.5]}
    after = {"a": [1.0], "b": [1.0], "c": [0.5], "d": [0.25]}
    differences = [1.0, 0.5, 0.25, -0.25]
    observed = abs(sum(differences))
    flips = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product([1, -1], repeat=4)
    ]
    comparison = paired_comparison(before, after, seed=0)
    assert comparison.p_value == pytest.approx(sum(flip >= observed for flip in flips) / 16)
    assert comparison.difference == pytest.approx(0.375)
    assert comparison.num_problems == 4


def test_a_problem_counts_once_however_many_samples_it_has() -> None:
    before = {"a": [0.0] * 100, "b": [1.0]}
    after = {"a": [1.0], "b": [1.0] * 7}
    assert paired_comparison(before, after, seed=0).difference == 0.5


def test_the_interval_agrees_with_the_normal_approximation_on_many_problems() -> None:
    rng = np.random.default_rng(5)
    shifts = rng.normal(0.05, 0.2, 800)
    before = {str(i): [0.0] for i in range(800)}
    after = {str(i): [float(shift)] for i, shift in enumerate(shifts)}
    half_width = 1.96 * shifts.std(ddof=1) / math.sqrt(800)
    comparison = paired_comparison(before, after, seed=0)
    assert comparison.low == pytest.approx(shifts.mean() - half_width, abs=0.1 * half_width)
    assert comparison.high == pytest.approx(shifts.mean() + half_width, abs=0.1 * half_width)
    assert comparison.p_value == pytest.approx(1 / 1000), "no flip of 1999 comes near, counted on both sides"


def test_no_difference_is_seldom_called_one() -> None:
    rng = np.random.default_rng(1)
    p_values: list[float] = []
    for seed in range(40):
        rewards = rng.integers(0, 2, (2, 60)).astype(float)
        before, after = ({str(i): [float(r)] for i, r in enumerate(side)} for side in rewards)
        p_values.append(paired_comparison(before, after, seed).p_value)
    assert sum(p < 0.05 for p in p_values) <= 6, "2 expected of 40; 7 or more has chance 0.3 %"
    assert np.mean(p_values) == pytest.approx(0.55, abs=0.15)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12), st.integers(0, 3))
def test_swapping_the_models_flips_the_sign_and_the_order_of_problems_is_irrelevant(
    rewards: list[tuple[float, float]], seed: int
) -> None:
    before = {str(i): [b] for i, (b, _) in enumerate(rewards)}
    after = {str(i): [a] for i, (_, a) in enumerate(rewards)}
    forwards = paired_comparison(before, after, seed)
    assert forwards == paired_comparison(dict(reversed(before.items())), after, seed)
    backwards = paired_comparison(after, before, seed)
    assert backwards.difference == -forwards.difference
    assert backwards.p_value == pytest.approx(forwards.p_value)
    assert forwards.low - 1e-9 <= forwards.difference <= forwards.high + 1e-9


def test_equal_rewards_give_p_1_without_a_warning() -> None:
    rewards = {"a": [1.0, 0.0], "b": [0.5], "c": [0.0]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison = paired_comparison(rewards, rewards, seed=0)
    assert (comparison.difference, comparison.low, comparison.high, comparison.p_value) == (
        0.0,
        0.0,
        0.0,
        1.0,
    )


def test_one_problem_says_nothing_of_others() -> None:
    comparison = paired_comparison({"a": [0.0]}, {"a": [1.0]}, seed=0)
    assert (comparison.difference, comparison.low, comparison.high) == (1.0, -1.0, 1.0)
    assert comparison.p_value == 1.0


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [({"a": [1.0]}, {"a": [1.0], "b": [1.0]}, "'b'"), ({"c": [1.0]}, {}, "'c'"), ({}, {}, "no problem")],
)
def test_problems_on_one_side_only_are_refused(
    before: dict[str, list[float]], after: dict[str, list[float]], complaint: str
) -> None:
    with pytest.raises(StageError, match=complaint):
        paired_comparison(before, after, seed=0)
