"""Gates put to recorded verdicts: published cases, every kind of requirement, what is said, and odd inputs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import StageError
from data_contracts.gates import Check, GateConfig, GateQuestions, GateVerdict, Requirement
from data_contracts.jobs import RowsInput
from data_contracts.rows import RowKind
from stages.gate import gate, judge, model_named
from tests.factories import make_job
from tests.test_gate_metrics import Samples, rewards, rollouts

IMPROVES = Requirement(improve_by=0.0)


def paired(gained: int, lost: int, right: int, total: int) -> tuple[Samples, Samples]:
    """Pass or fail of one sample a problem: so many only after, only before, and both times."""
    pairs = [(0, 1)] * gained + [(1, 0)] * lost + [(1, 1)] * right
    pairs += [(0, 0)] * (total - len(pairs))
    before, after = zip(*pairs, strict=True)
    return _named(before), _named(after)


def _named(given: Sequence[float]) -> Samples:
    return {f"p{number:04}": rewards(reward) for number, reward in enumerate(given)}


def asked(
    folder: Path, before: Samples | None, after: Samples, questions: GateQuestions | None = None
) -> GateVerdict:
    was = None if before is None else rollouts(folder / "before.parquet", before)
    now = rollouts(folder / "after.parquet", after)
    return judge(questions or GateQuestions(), was, now, candidate="tiny.grpo/4", baseline="tiny.grpo/3")


def of_accuracy(**requirement: Any) -> GateQuestions:
    return GateQuestions(metrics={"accuracy": Requirement(**requirement)})


def only(verdict: GateVerdict) -> Check:
    (check,) = verdict.checks
    return check


# Published cases


def test_the_scheduling_projects_promotion_of_a_tied_checkpoint_is_refused(tmp_path: Path) -> None:
    """3 epochs over 2 epochs: 63 against 67 of 100 schedules valid, 16 gained, 20 lost."""
    verdict = asked(tmp_path, *paired(16, 20, 47, 100))
    check = only(verdict)
    assert (check.before, check.after, check.verdict) == (0.67, 0.63, "not distinguishable")
    assert check.p_value == pytest.approx(0.6177, abs=1e-4)
    assert not verdict.passed
    assert verdict.sentence.startswith(
        "refused: accuracy is not distinguishable from tiny.grpo/3 (-4.0 points [-1"
    )
    assert "p=0.62, 100 problems; about 1,900 would decide" in verdict.sentence


def test_the_scheduling_projects_training_is_accepted(tmp_path: Path) -> None:
    """Base to GRPO: 9 to 63 valid, 55 gained, 1 lost."""
    verdict = asked(tmp_path, *paired(55, 1, 8, 100))
    check = only(verdict)
    assert verdict.passed and check.verdict == "better"
    assert check.p_value == pytest.approx(1.58e-15, rel=0.01)
    assert check.test == "exact McNemar, 55 against 1 discordant"
    assert verdict.sentence.startswith("accuracy is 54.0 points above tiny.grpo/3 [+4")
    assert verdict.sentence.endswith("p≤0.001 on 100 problems")


# Requirements


def test_an_improvement_beyond_a_size_has_to_be_shown_beyond_it(tmp_path: Path) -> None:
    before, after = paired(40, 10, 200, 400)
    assert asked(tmp_path, before, after, of_accuracy(improve_by=0.0)).passed
    verdict = asked(tmp_path, before, after, of_accuracy(improve_by=0.06))
    check = only(verdict)
    assert (verdict.passed, check.verdict) == (False, "better")
    assert (
        "is 7.5 points above" in verdict.sentence
        and "where more than 6.0 points is asked" in verdict.sentence
    )
    assert check.low is not None and check.low < 0.06
    assert asked(tmp_path, before, after, of_accuracy(improve_by=check.low - 1e-6)).passed
    assert not asked(tmp_path, before, after, of_accuracy(improve_by=check.low + 1e-6)).passed


def test_a_guard_holds_only_if_worse_by_the_margin_is_ruled_out(tmp_path: Path) -> None:
    before, after = paired(12, 12, 300, 400)
    low = only(asked(tmp_path, before, after, of_accuracy(not_worse_by=0.5))).low
    assert low is not None and -0.05 < low < -0.02
    assert asked(tmp_path, before, after, of_accuracy(not_worse_by=-low + 1e-6)).passed
    verdict = asked(tmp_path, before, after, of_accuracy(not_worse_by=0.01))
    assert not verdict.passed and only(verdict).verdict == "not distinguishable"
    assert verdict.sentence.startswith(f"refused: accuracy may be {-100 * low:.1f} points below tiny.grpo/3")
    assert (only(verdict).needed_problems or 0) > 400


def test_a_guard_taken_as_measured_asks_no_test(tmp_path: Path) -> None:
    before, after = paired(1, 3, 10, 20)
    measured = {"judge_by": "estimate"}
    assert asked(tmp_path, before, after, of_accuracy(not_worse_by=0.11, **measured)).passed
    verdict = asked(tmp_path, before, after, of_accuracy(not_worse_by=0.1, **measured))
    assert not verdict.passed and only(verdict).needed_problems is None
    assert "taken as measured" in verdict.sentence


def test_a_small_but_certain_change_within_what_seeds_do_is_no_improvement(tmp_path: Path) -> None:
    before, after = paired(20, 0, 100, 1000)
    assert asked(tmp_path, before, after).passed
    questions = GateQuestions(metrics={"accuracy": IMPROVES}, seed_spread=0.03)
    verdict = asked(tmp_path, before, after, questions)
    assert (verdict.passed, only(verdict).verdict) == (False, "not distinguishable")
    assert "no more than seeds alone move it (3.0 points)" in verdict.sentence
    assert only(verdict).needed_problems is None, "no number of problems would help"


def test_less_is_better_for_length_and_truncated(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(50, 90, 60)
    before = {f"p{i}": [{"completion_ids": [1] * int(n), "finished": i > 12}] for i, n in enumerate(lengths)}
    after = {f"p{i}": [{"completion_ids": [1] * int(n + 9 + i % 3)}] for i, n in enumerate(lengths)}
    questions = GateQuestions(
        metrics={
            "length": Requirement(not_worse_by=5),
            "truncated": IMPROVES,
            "length:coins": Requirement(at_most=60),
        }
    )
    verdict = asked(tmp_path, before, after, questions)
    length, truncated, bound = verdict.checks
    assert (length.verdict, length.effect, length.holds) == ("worse", 10.0, False)
    assert "length is 10.0 tokens above tiny.grpo/3" in length.sentence
    assert (truncated.verdict, truncated.effect) == ("better", pytest.approx(-13 / 60))
    assert not bound.holds and bound.verdict is None and bound.effect is None
    assert asked(
        tmp_path, before, after, GateQuestions(metrics={"length": Requirement(not_worse_by=12)})
    ).passed


def test_holm_covers_every_metric_that_is_compared(tmp_path: Path) -> None:
    """11 gained, 2 lost: p = 184 / 8192 = 0.0225 alone; among three, of which two are level, 0.0674."""
    before, after = paired(11, 2, 40, 100)
    metrics = {
        "accuracy": IMPROVES,
        "truncated": Requirement(not_worse_by=0.9),
        "length": Requirement(not_worse_by=9),
    }
    assert only(asked(tmp_path, before, after)).p_value == pytest.approx(184 / 8192)
    assert asked(tmp_path, before, after).passed
    verdict = asked(tmp_path, before, after, GateQuestions(metrics=metrics))
    first = verdict.checks[0]
    assert (first.p_adjusted, first.holds) == (pytest.approx(3 * 184 / 8192), False)
    assert "p=0.022, 0.067 by Holm's method" in first.sentence
    assert all(check.holds for check in verdict.checks[1:])


def test_one_metric_that_fails_refuses_the_gate_whatever_the_others_gain(tmp_path: Path) -> None:
    """Tülu 3 8B's pattern: one skill gains while safety falls."""
    before = {
        f"{s}{i}": [{"source": s, "reward": float(i % 5 != 0)}]
        for s in ("math", "safety")
        for i in range(100)
    }
    after = {
        **{f"math{i}": [{"source": "math", "reward": 1.0}] for i in range(100)},
        **{f"safety{i}": [{"source": "safety", "reward": float(i % 4 != 0)}] for i in range(100)},
    }
    metrics = {"accuracy:math": IMPROVES, "accuracy:safety": Requirement(not_worse_by=0.01)}
    verdict = asked(tmp_path, before, after, GateQuestions(metrics=metrics))
    assert [check.holds for check in verdict.checks] == [True, False]
    assert not verdict.passed and verdict.sentence.startswith("refused: accuracy:safety may be ")


def test_bounds_are_of_the_models_own_value(tmp_path: Path) -> None:
    _, after = paired(0, 0, 80, 100)
    for requirement, holds in [
        ({"at_least": 0.8}, True),
        ({"at_least": 0.81}, False),
        ({"at_most": 0.8}, True),
        ({"at_most": 0.79}, False),
    ]:
        verdict = asked(tmp_path, None, after, of_accuracy(**requirement))
        assert verdict.passed == holds
    assert verdict.sentence == "refused: accuracy is 80.0 %, at most 79.0 % is asked"


def test_without_a_baseline_comparisons_hold_and_bounds_are_asked(tmp_path: Path) -> None:
    _, after = paired(0, 0, 80, 100)
    questions = of_accuracy(improve_by=0.1, not_worse_by=0.0, at_least=0.5)
    verdict = asked(tmp_path, None, after, questions)
    assert verdict.passed and verdict.baseline is None
    assert verdict.checks[0].sentence == "accuracy is 80.0 %, with no other model to compare with"
    assert [check.verdict for check in verdict.checks] == [None] * 3
    assert not asked(tmp_path, None, after, of_accuracy(improve_by=0.1, at_least=0.9)).passed


def test_an_equal_model_is_not_worse_by_any_measured_margin(tmp_path: Path) -> None:
    question = of_accuracy(not_worse_by=0.0, judge_by="estimate")
    for gained, lost, holds in ((3, 3, True), (0, 0, True), (4, 3, True), (3, 4, False)):
        verdict = asked(tmp_path, *paired(gained, lost, 40, 100), question)
        assert verdict.passed == holds
    assert "where nothing worse is allowed" in verdict.sentence
    equal = asked(tmp_path, *paired(3, 3, 40, 100), question)
    assert equal.sentence.startswith("accuracy is not worse than tiny.grpo/3 (+0.0 points")
    assert not asked(
        tmp_path, *paired(3, 4, 40, 100), of_accuracy(not_worse_by=0.01, judge_by="estimate")
    ).passed


# What flipped


def test_flips_show_the_completion_that_is_right_and_the_one_that_is_not(tmp_path: Path) -> None:
    before = {"up": rewards(0, 0), "half": rewards(1, 0), "down": rewards(1, 1), "same": rewards(1, 0)}
    after = {"up": rewards(1, 1), "half": rewards(1, 1), "down": rewards(1, 0), "same": rewards(0, 1)}
    verdict = asked(tmp_path, before, after)
    assert [flip.problem_id for flip in verdict.gained] == ["up", "half"], "the largest change first"
    assert [flip.problem_id for flip in verdict.lost] == ["down"]
    half, down = verdict.gained[1], verdict.lost[0]
    assert (half.prompt, half.before, half.after) == ("toss half", 0.5, 1.0)
    assert (half.completion_before, half.completion_after) == ("before 1", "after 0")
    assert (down.completion_before, down.completion_after) == ("before 0", "after 1")


def test_only_so_many_flips_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    verdict = asked(tmp_path, *paired(16, 20, 47, 100), GateQuestions(flips=2))
    assert (len(verdict.gained), len(verdict.lost)) == (2, 2)
    assert (verdict.num_gained, verdict.num_lost) == (16, 20)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    nasty = {
        "completion": "[bold red]\x1b[2J\x00</script>{0}'; drop table",
        "reason": "{x}",
        "source": "%s [link]",
    }
    before = {"p": [{**nasty, "reward": 0.0}]}
    verdict = asked(tmp_path, before, {"p": [nasty]}, GateQuestions(metrics={"accuracy:%s [link]": IMPROVES}))
    assert verdict.gained[0].completion_after == nasty["completion"]
    assert GateVerdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert "accuracy:%s [link] is not distinguishable" in verdict.sentence


# Odd inputs


def test_a_few_problems_of_one_model_alone_are_left_out_and_counted(tmp_path: Path) -> None:
    before, after = paired(16, 20, 300, 400)
    del before["p0399"], after["p0398"], after["p0397"]  # pyright: ignore
    verdict = asked(tmp_path, before, after)
    assert (verdict.only_candidate, verdict.only_baseline, only(verdict).num_problems) == (1, 2, 397)


def test_other_suites_are_refused(tmp_path: Path) -> None:
    before, after = paired(16, 20, 30, 100)
    with pytest.raises(StageError, match="Of 102 problems the two models share 100"):
        asked(tmp_path, before, {**after, "other": rewards(1), "another": rewards(1)})
    with pytest.raises(StageError, match="share 0"):
        asked(tmp_path, before, {"other": rewards(1)})


def test_an_evaluation_without_verdicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no verdict"):
        asked(tmp_path, None, {})


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_two_models_that_are_all_alike_are_not_distinguishable(tmp_path: Path, reward: float) -> None:
    given = _named([reward] * 50)
    check = only(asked(tmp_path, given, given))
    assert (check.verdict, check.effect, check.p_value, check.needed_problems) == (
        "not distinguishable",
        0,
        1,
        None,
    )
    assert check.low is not None and check.high is not None
    assert check.low < -0.05 and check.high > 0.05, (
        "fifty problems without a change do not rule out one in twenty"
    )


def test_models_that_differ_everywhere_are_told_apart_from_six_problems_on(tmp_path: Path) -> None:
    for number, verdict in [(1, "not distinguishable"), (5, "not distinguishable"), (6, "better")]:
        assert only(asked(tmp_path, _named([0] * number), _named([1] * number))).verdict == verdict


def test_samples_may_differ_in_number_and_rows_in_order(tmp_path: Path) -> None:
    before = {"p": rewards(0, 1), "q": rewards(0), "r": rewards(1, 1, 0)}
    after = {"r": rewards(1), "q": rewards(1, 0, 1, 0), "p": rewards(1, 1)}
    check = only(asked(tmp_path, before, after))
    assert check.effect == pytest.approx((0.5 + 0.5 + 1 / 3) / 3)
    path = tmp_path / "after.parquet"
    pq.write_table(pq.read_table(path).take([3, 6, 0, 5, 1, 4, 2]), path)
    again = judge(GateQuestions(), tmp_path / "before.parquet", path, candidate="a", baseline="tiny.grpo/3")
    assert again.checks == (check,)


# The stage


def test_the_stage_writes_its_verdict_a_row_a_problem_and_metrics(tmp_path: Path) -> None:
    before, after = paired(16, 20, 47, 100)
    inputs = [
        RowsInput(
            name=name,
            kind=RowKind.rollouts,
            path=rollouts(tmp_path / f"{name}.parquet", rows),
            fingerprint=name,
        )
        for name, rows in (("dpo.evaluate", before), ("grpo.evaluate", after))
    ]
    config = GateConfig(
        start="grpo", metrics={"accuracy:coins": IMPROVES, "pass@1": Requirement(at_least=0.5)}
    )
    job = make_job(tmp_path, config, rows=inputs[1:]).model_copy(update={"compare_with": (inputs[0],)})
    result = gate(job, config)
    verdict = GateVerdict.model_validate_json(job.report_path.read_text())
    assert (verdict.candidate, verdict.baseline, verdict.passed) == ("grpo", "dpo", False)
    assert result.notes == (verdict.sentence,)
    assert result.metrics["gate/passed"] == 0.0
    assert result.metrics["gate/accuracy/coins/effect"] == pytest.approx(-0.04)
    assert result.metrics["gate/pass_at_1/after"] == pytest.approx(0.63)
    rows = pq.read_table(job.output_dir / "rows.parquet").to_pylist()
    changes = [row["change"] for row in rows]
    assert [changes.count(name) for name in ("gained", "lost", "none")] == [16, 20, 64]
    assert rows[0]["completion_before"] == "before 0".replace("before", "dpo.evaluate")
    assert rows[-1]["completion_before"] is None
    assert json.loads(job.report_path.read_text())["num_gained"] == 16


def test_the_champions_own_verdicts_are_compared_with_nothing(tmp_path: Path) -> None:
    path = rollouts(tmp_path / "now.parquet", _named([1, 0]))
    own, champions = (
        RowsInput(name=name, kind=RowKind.rollouts, path=path, fingerprint="the same")
        for name in ("grpo.evaluate", "tiny.grpo.v3.evaluate")
    )
    config = GateConfig(start="grpo", against="champion")
    job = make_job(tmp_path, config, rows=[own]).model_copy(update={"compare_with": (champions,)})
    gate(job, config)
    verdict = GateVerdict.model_validate_json(job.report_path.read_text())
    assert (verdict.passed, verdict.baseline) == (True, None)


@pytest.mark.parametrize(
    ("verdicts", "model"),
    [("sft.evaluate", "sft"), ("tiny.sft.v3.evaluate", "tiny.sft/3"), ("tiny.v2.v13.evaluate", "tiny.v2/13")],
)
def test_models_are_called_by_the_name_of_their_verdicts(verdicts: str, model: str) -> None:
    assert model_named(verdicts) == model


def test_the_stage_without_a_baseline_has_rows_and_passes(tmp_path: Path) -> None:
    path = rollouts(tmp_path / "now.parquet", _named([1, 0]))
    given = RowsInput(name="now", kind=RowKind.rollouts, path=path, fingerprint="now")
    job = make_job(tmp_path, config := GateConfig(start="grpo", against="champion"), rows=[given])
    assert gate(job, config).metrics["gate/passed"] == 1.0
    assert pq.read_table(job.output_dir / "rows.parquet").column("before").to_pylist() == [None, None]
