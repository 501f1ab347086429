"""Noise, changes and onsets against numbers worked out by hand and against numpy."""

from math import inf, sqrt

import numpy as np
import pytest

from stages.alarms.evidence import Change, change, left, noise, until


def test_noise_is_the_mean_moving_range_over_its_constant() -> None:
    assert noise([1.0, 3.0, 2.0, 2.0]) == pytest.approx((2 + 1 + 0) / 3 / 1.128)


def test_noise_is_the_standard_deviation_even_on_a_trend() -> None:
    rng = np.random.default_rng(5)
    values = 3 * np.linspace(0, 1, 4000) + rng.normal(0, 0.05, 4000)
    assert noise(values.tolist()) == pytest.approx(0.05, rel=0.05)
    assert np.std(values) > 0.8


def test_a_change_between_windows_has_the_error_of_a_difference_of_means() -> None:
    moved = change([1.0, 2.0, 3.0], [4.0, 6.0], sigma=0.6)
    assert (moved.size, moved.error) == (3.0, pytest.approx(0.6 * sqrt(1 / 3 + 1 / 2)))


def test_without_noise_any_change_is_sure_and_none_is_none() -> None:
    assert (Change(0.1, 0.0).errors(), Change(-0.1, 0.0).errors(), Change(0.0, 0.0).errors()) == (
        inf,
        -inf,
        0.0,
    )


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_metric_left_its_level_at_the_last_step_with_two_neighbours_near_it(sign: float) -> None:
    values = [0.0, 0.1, 0.0, 0.9, 0.1, 0.2, 0.5, 0.1, 1.0, 1.0, 1.0]
    points = [(10 * at, sign * value) for at, value in enumerate(values)]
    assert left(points, normal=0.0, now=sign) == 50


def test_points_at_or_before_a_step_are_counted() -> None:
    points = [(2, 0.0), (4, 0.0), (4, 0.0), (7, 0.0)]
    assert [until(points, step) for step in (1, 2, 4, 6, 7, 9)] == [0, 1, 3, 3, 4, 4]
