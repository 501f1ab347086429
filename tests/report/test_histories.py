"""Histories of metrics as progress files have them: torn, repeated and not finite."""

import json
import math
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from flows.histories import history_of, read_history
from flows.report.curves import stage_curves, thinned
from infra.home import Home, open_home
from infra.ledger import Ledger
from tests.report.trained_home import progress


def line(step: int, **metrics: float) -> str:
    return json.dumps({"seconds": float(step), "step": step, "total": 9, "metrics": metrics}) + "\n"


def test_a_line_that_is_half_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text(line(1, loss=3.0) + line(2, loss=2.0) + line(3, loss=1.0)[:20])
    found = read_history(path)
    assert found.metrics == {"loss": [(1, 3.0), (2, 2.0)]}
    assert (found.step, found.total, found.seconds) == (2, 9, 2.0)


def test_a_step_that_was_repeated_after_an_interruption_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text(line(1, a=1.0) + line(2, a=2.0) + line(3, a=3.0) + line(2, a=20.0) + line(4, b=4.0))
    assert read_history(path).metrics == {"a": [(1, 1.0), (2, 20.0), (3, 3.0)], "b": [(4, 4.0)]}


def test_values_that_are_no_numbers_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text(line(1, a=math.nan) + line(2, a=math.inf))
    (_, first), (_, second) = read_history(path).metrics["a"]
    assert math.isnan(first) and second == math.inf


def test_an_execution_finds_the_history_of_the_run_that_made_it(home: Home) -> None:
    made = next(each for each in Ledger(home.ledger_path).executions() if each.stage == "grpo")
    found = history_of(home, made)
    assert len(found.metrics["grpo/reward"]) == found.total == 120
    assert [(alarm.step, alarm.name) for alarm in found.alarms] == [(60, "entropy_collapse")]
    assert history_of(home, replace(made, run_id="gone")).metrics == {}


def test_a_stage_that_logged_nothing_has_an_empty_history(tmp_path: Path) -> None:
    found = read_history(tmp_path / "none")
    assert (found.metrics, found.alarms, found.total) == ({}, (), 0)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=400),
    st.integers(4, 60),
)
def test_a_thinned_curve_keeps_its_extremes_and_its_order(values: list[float], most: int) -> None:
    points = list(enumerate(values))
    kept = thinned(points, most)
    assert len(kept) <= max(most, 1)
    assert list(kept) == [point for point in points if point in set(kept)]
    assert {min(values), max(values)} <= {value for _, value in kept}


def test_metrics_without_a_panel_or_a_finite_value_are_named(tmp_path: Path) -> None:
    path = open_home(tmp_path / "home").logs_dir / "progress.jsonl"
    path.write_text(line(1, **{"grpo/kl": math.nan, "grpo/odd": 1.0, "grpo/reward": 0.5}))
    found = stage_curves("grpo", "grpo", read_history(path))
    assert [chart.title for chart in found.charts] == ["Reward"]
    assert found.not_drawn == ("grpo/kl", "grpo/odd")


def test_a_curve_has_at_most_so_many_points_however_long_the_training(tmp_path: Path) -> None:
    """Twenty times as many steps add the digits of their numbers, no points."""
    sizes: list[int] = []
    for steps in (1_000, 20_000):
        path = tmp_path / f"{steps}.jsonl"
        path.write_text("".join(f"{each}\n" for each in progress(steps)))
        charts = stage_curves("grpo", "grpo", read_history(path)).charts
        sizes.append(sum(len(chart.svg) for chart in charts))
    assert sizes[1] < 1.2 * sizes[0]
