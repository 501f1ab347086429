"""What policies without skill are paid, by which reward and which metric, and how much of it blocks."""

from typing import Any

import pytest

from data_contracts.errors import DataError, RecipeError
from stages.audit import audit
from stages.verifiers.pool import VerifierPool
from tests.audit.problems import make_config, make_problem, make_problems, make_schedules, only


@pytest.mark.parametrize(
    ("fields", "what", "do"),
    [
        (
            {"metric": "length"},
            "the metric length",
            "The metric length needs other arguments than these problems have: name another, or none.",
        ),
        (
            {"rewards": ["problem", "length"]},
            "the reward length",
            "Give the reward length the arguments it needs, under `rewards:`.",
        ),
    ],
)
def test_a_reward_or_metric_that_cannot_judge_a_problem_is_named_with_its_row(
    fields: dict[str, Any], what: str, do: str, pool: VerifierPool
) -> None:
    problems = [make_problem(0, "exact_number", "eighteen"), make_problem(7, "exact_number", "18")]
    with pytest.raises(DataError) as fault:
        audit(problems, make_config(**fields), pool)
    assert fault.value.found.startswith(f"Row 2 (problem-7) cannot be judged by {what}: The arguments {{}}")
    assert fault.value.do == do


def test_problems_that_all_have_one_answer_block(pool: VerifierPool) -> None:
    (block,) = audit(make_problems("exact_number", *["18"] * 40), make_config(), pool).blocks
    assert block.startswith(
        "the policy 'most common answer', which knows nothing of the task, is right on 40 of 40"
    )
    few = audit(make_problems("exact_number", *["18"] * 20), make_config(), pool)
    assert few.blocks == ()
    assert "the policy 'most common answer' is right on 20 of 20 problems of exact_number" in few.notes


def test_the_verifier_that_pays_is_named_not_the_one_that_measures(pool: VerifierPool) -> None:
    rewards = {"constant": {"weight": 1}}
    report = audit(make_problems("exact_number", "18", "25"), make_config(rewards=rewards), pool)
    assert "constant pays for something else than the task" in report.blocks[0]


def test_a_reward_that_pays_for_overlaps_blocks_with_what_copying_all_earns(pool: VerifierPool) -> None:
    """Copying all is in order, 0.3, and one event of 60 minutes in 300 overlaps no other: 0.3 + 0.7 / 5 = 0.44."""
    report = audit(make_schedules("paid_overlaps", 4), make_config(), pool)
    scores = {score.policy: score for score in only(report).policies}
    assert scores["copy all"].reward == pytest.approx(0.44)
    assert scores["copy all"].metric == 0.0
    assert (scores["the best"].reward, scores["the best"].metric) == (pytest.approx(1.0), 1.0)
    (block,) = report.blocks
    assert block.startswith(
        "the policy 'copy all' earns 0.44 of the training reward while 0% of it is right: "
    )


def test_a_gated_reward_pays_copying_all_nothing(pool: VerifierPool) -> None:
    report = audit(make_schedules("valid_only", 4), make_config(), pool)
    assert report.blocks == ()
    assert {score.policy: score.reward for score in only(report).policies}["copy all"] == 0.0


def test_scripted_policies_are_paid_by_the_training_reward_and_judged_by_the_metric(
    pool: VerifierPool,
) -> None:
    """A weighted sum pays format 3 of 4 parts; a gate on the right answer pays nothing for it alone."""
    shape = {"format": {"weight": 3, "arguments": {"max_characters": 50}}}
    rewards = {"problem": {"weight": 1}, **shape}
    problems = make_problems("exact_number", "18", "25")
    summed = audit(problems, make_config(rewards=rewards, combine="sum"), pool)
    scores = {score.policy: score for score in only(summed).policies}
    assert (scores["say nothing"].reward, scores["say nothing"].metric) == (0.75, 0.0)
    assert scores["ramble"].reward == 0.0
    assert (
        "the policy 'say nothing' earns 0.75 of the training reward while 0% of it is right"
        in summed.blocks[0]
    )
    assert audit(problems, make_config(rewards=rewards, combine="gate"), pool).blocks == ()


def test_another_verifier_can_be_the_metric(pool: VerifierPool) -> None:
    report = audit(make_schedules("paid_overlaps", 2), make_config(metric="valid_only"), pool)
    scores = {score.policy: score for score in only(report).policies}
    assert (scores["copy all"].metric, scores["the best"].metric) == (0.0, 1.0)
    with pytest.raises(RecipeError, match="no verifier named 'vaild_only'"):
        audit(make_schedules("paid_overlaps", 2), make_config(metric="vaild_only"), pool)


def test_thresholds_decide_what_blocks(pool: VerifierPool) -> None:
    problems = make_problems("without_sign", "18", "25")
    assert audit(problems, make_config(max_false_positives=1), pool).blocks == ()
    overlaps = make_schedules("paid_overlaps", 2)
    assert audit(overlaps, make_config(max_scripted_reward=0.45), pool).blocks == ()
