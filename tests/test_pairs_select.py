"""What verdicts become: pairs of better and worse completions, and the problems a model solves sometimes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_contracts.errors import EmptyResultError
from data_contracts.jobs import RowsInput, StageResult
from data_contracts.rows import RowKind
from data_contracts.stage_configs import PairsConfig, SelectConfig
from stages.pairs import make_pairs
from stages.select import select_problems
from tests.factories import make_job, write_input

Outcome = tuple[StageResult, list[dict[str, Any]]]


def _rollouts(problem: str, *completions: tuple[str, float]) -> list[dict[str, Any]]:
    """Completions with their rewards; token ids are the characters' codes, as of a character tokenizer."""
    return [
        {
            "problem_id": problem,
            "sample": sample,
            "prompt": [{"role": "user", "content": f"ask {problem}"}],
            "ground_truth": "3",
            "verifier": "exact_number",
            "arguments": "{}",
            "source": "mine",
            "completion": text,
            "completion_ids": [ord(character) for character in text],
            "reward": reward,
        }
        for sample, (text, reward) in enumerate(completions)
    ]


@pytest.fixture
def pair(tmp_path: Path) -> Callable[..., Outcome]:
    """Pairs made from these rollouts by a config with these fields."""

    def pair(rollouts: list[dict[str, Any]], *others: RowsInput, seed: int = 0, **fields: Any) -> Outcome:
        config = PairsConfig(rows={"check": 1.0}, **fields)
        rows = [write_input(tmp_path, "check", RowKind.rollouts, rollouts)] if rollouts else []
        job = make_job(tmp_path, config, [*rows, *others], seed)
        return make_pairs(job, config), pq.read_table(job.output_dir / "rows.parquet").to_pylist()

    return pair


def _texts(pairs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["chosen"], row["rejected"]) for row in pairs]


def test_the_best_completion_faces_the_worst(pair: Callable[..., Outcome]) -> None:
    result, pairs = pair(_rollouts("a", ("middle", 0.5), ("worst", 0.0), ("best", 1.0), ("low", 0.2)))
    assert pairs == [
        {
            "prompt": [{"role": "user", "content": "ask a"}],
            "chosen": "best",
            "rejected": "worst",
            "source": "mine",
            "problem_id": "a",
            "margin": 1.0,
        }
    ]
    assert result.metrics == {
        "pairs/pairs": 1.0,
        "pairs/on_policy": 1.0,
        "pairs/prompts": 1.0,
        "pairs/identical": 0.0,
        "pairs/completions": 4.0,
        "pairs/right": 1.0,
    }


def test_further_pairs_move_inwards_and_keep_the_margin(pair: Callable[..., Outcome]) -> None:
    completions = [("a", 1.0), ("b", 0.9), ("c", 0.6), ("d", 0.5), ("e", 0.3), ("f", 0.0)]
    _, pairs = pair(_rollouts("p", *completions), pairs_per_prompt=3, min_margin=0.5)
    assert _texts(pairs) == [("a", "f"), ("b", "e")]  # c against d is 0.1 apart
    assert [row["margin"] for row in pairs] == pytest.approx([1.0, 0.6])


def test_pairs_per_prompt_is_a_limit(pair: Callable[..., Outcome]) -> None:
    completions = [("a", 1.0), ("b", 1.0), ("c", 0.0), ("d", 0.0)]
    assert len(pair(_rollouts("p", *completions), pairs_per_prompt=1)[1]) == 1


@pytest.mark.parametrize(("margin", "num_pairs"), [(0.5, 1), (0.51, 0)])
def test_the_margin_itself_is_enough(margin: float, num_pairs: int, pair: Callable[..., Outcome]) -> None:
    rollouts = _rollouts("a", ("x", 0.75), ("y", 0.25)) + _rollouts("b", ("x", 1.0), ("y", 0.0))
    _, pairs = pair(rollouts, min_margin=margin)
    assert sum(row["problem_id"] == "a" for row in pairs) == num_pairs


def test_completions_of_different_prompts_never_meet(pair: Callable[..., Outcome]) -> None:
    rollouts = _rollouts("a", ("right", 1.0), ("also", 1.0)) + _rollouts("b", ("wrong", 0.0))
    rollouts += _rollouts("c", ("better", 1.0), ("worse", 0.0))
    result, pairs = pair(rollouts)
    assert _texts(pairs) == [("better", "worse")]
    assert result.metrics["pairs/tied"] == 2.0
    assert result.notes == ("2 of 3 prompts tied",)


def test_equal_rewards_are_drawn_by_the_seed(pair: Callable[..., Outcome], tmp_path: Path) -> None:
    rollouts = _rollouts("a", ("w1", 0.0), ("w2", 0.0), ("w3", 0.0), ("w4", 0.0), ("right", 1.0))
    rejected: list[str] = []
    for seed in (*range(8), 0):
        rejected.append(pair(rollouts, seed=seed)[1][0]["rejected"])
        (tmp_path / "work" / "output" / "rows.parquet").unlink()
        (tmp_path / "work" / "output").rmdir()
    assert rejected[0] == rejected[-1]
    assert len(set(rejected)) > 1


@pytest.mark.parametrize(
    ("rewards", "hint"),
    [
        ((1.0, 1.0), "All 4 completions were right: give harder problems."),
        ((0.0, 0.0), "None of 4 completions was right: train for longer before."),
        ((0.6, 0.4), ""),
    ],
)
def test_nothing_but_ties_says_what_to_do(
    rewards: tuple[float, float], hint: str, pair: Callable[..., Outcome]
) -> None:
    first, second = rewards
    with pytest.raises(EmptyResultError) as caught:
        pair(_rollouts("a", ("x", first), ("y", second)) + _rollouts("b", ("x", first), ("y", second)))
    assert "from 2 prompts: 2 had no two completions 0.5 apart" in str(caught.value)
    assert hint in str(caught.value)
    assert "more samples or a higher temperature" in str(caught.value)


def test_equal_texts_are_dropped_and_counted(pair: Callable[..., Outcome]) -> None:
    rollouts = _rollouts("a", ("same", 1.0), ("same ", 0.0)) + _rollouts("b", ("good", 1.0), ("bad", 0.0))
    result, pairs = pair(rollouts)
    assert _texts(pairs) == [("good", "bad")]
    assert result.metrics["pairs/identical"] == 1.0
    assert result.notes == ("1 pairs of equal texts dropped",)


def test_nothing_but_equal_texts_is_an_error_that_counts_them(pair: Callable[..., Outcome]) -> None:
    with pytest.raises(EmptyResultError, match="1 pairs had equal texts"):
        pair(_rollouts("a", ("same", 1.0), ("same", 0.0)))


@pytest.mark.parametrize(("length", "num_identical"), [(4, 1.0), (5, 0.0)])
def test_pairs_that_truncation_makes_equal_are_dropped_and_counted(
    length: int, num_identical: float, pair: Callable[..., Outcome]
) -> None:
    rollouts = _rollouts("a", ("1+2=3", 1.0), ("1+2=4", 0.0)) + _rollouts("b", ("good", 1.0), ("bad", 0.0))
    result, _ = pair(rollouts, max_completion_length=length)
    assert result.metrics["pairs/identical"] == num_identical


def _off_policy(folder: Path, count: int, weight: float) -> RowsInput:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"given {number}"}],
            "chosen": "yes",
            "rejected": "no",
            "source": "given",
        }
        for number in range(count)
    ]
    return write_input(folder, "given", RowKind.pairs, rows, weight=weight)


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 8), (0.5, 4), (2.0, 16), (1.25, 10)])
def test_off_policy_pairs_are_mixed_in_by_weight(
    weight: float, expected: int, pair: Callable[..., Outcome], tmp_path: Path
) -> None:
    result, pairs = pair(_rollouts("a", ("x", 1.0), ("y", 0.0)), _off_policy(tmp_path, 8, weight))
    given = [row["prompt"][0]["content"] for row in pairs if row["source"] == "given"]
    assert len(given) == expected
    assert len(set(given)) == min(8, expected)  # a draw takes no row twice before all are taken
    assert (result.metrics["pairs/off_policy"], result.metrics["pairs/pairs"]) == (expected, expected + 1)


def test_off_policy_pairs_alone_are_enough(pair: Callable[..., Outcome], tmp_path: Path) -> None:
    _, pairs = pair([], _off_policy(tmp_path, 3, 1.0))
    assert _texts(pairs) == [("yes", "no")] * 3


# Selection


@pytest.fixture
def select(tmp_path: Path) -> Callable[..., Outcome]:
    def select(rollouts: list[dict[str, Any]], low: float, high: float) -> Outcome:
        config = SelectConfig(rows={"check": 1.0}, pass_rate=(low, high))
        job = make_job(tmp_path, config, [write_input(tmp_path, "check", RowKind.rollouts, rollouts)])
        return select_problems(job, config), pq.read_table(job.output_dir / "rows.parquet").to_pylist()

    return select


def _solved(problem: str, num_right: int, num_samples: int = 4) -> list[dict[str, Any]]:
    rewards = [1.0] * num_right + [0.0] * (num_samples - num_right)
    return _rollouts(problem, *((str(reward), reward) for reward in rewards))


def test_problems_inside_the_band_are_kept_and_the_others_counted(select: Callable[..., Outcome]) -> None:
    rollouts = [row for number in range(5) for row in _solved(f"p{number}", number)]
    result, problems = select(rollouts, 0.25, 0.5)
    assert [(row["problem_id"], row["pass_rate"]) for row in problems] == [("p1", 0.25), ("p2", 0.5)]
    assert result.metrics == {
        "select/below": 1.0,
        "select/in_band": 2.0,
        "select/above": 2.0,
        "select/pass_rate_mean": 0.5,
    }
    assert result.notes == ("2 of 5 problems in the band, 1 below, 2 above",)


def test_a_kept_problem_is_the_one_that_was_asked(select: Callable[..., Outcome]) -> None:
    _, (problem,) = select(_solved("p", 2), 0.1, 0.9)
    assert problem == {
        "problem_id": "p",
        "prompt": [{"role": "user", "content": "ask p"}],
        "ground_truth": "3",
        "verifier": "exact_number",
        "arguments": "{}",
        "source": "mine",
        "pass_rate": 0.5,
    }


def test_a_part_of_the_reward_is_no_pass(select: Callable[..., Outcome]) -> None:
    _, (problem,) = select(_rollouts("p", ("a", 1.0), ("b", 0.9), ("c", 0.5), ("d", 0.0)), 0.0, 1.0)
    assert problem["pass_rate"] == 0.25


@pytest.mark.parametrize(
    ("num_right", "counts", "advice"),
    [
        (0, "of 2, 2 are below and 0 above", "train the model before it further"),
        (4, "of 2, 0 are below and 2 above", "give harder problems"),
    ],
)
def test_an_empty_band_says_on_which_side_the_problems_are(
    num_right: int, counts: str, advice: str, select: Callable[..., Outcome]
) -> None:
    with pytest.raises(EmptyResultError) as caught:
        select(_solved("a", num_right) + _solved("b", num_right), 0.1, 0.9)
    assert counts in str(caught.value)
    assert advice in str(caught.value)
