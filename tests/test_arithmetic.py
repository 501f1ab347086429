"""Generated additions: right, repeatable, and never in two splits."""

import pytest

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem
from stages.arithmetic import Split, generate_examples, generate_problems, split_of, work_out
from stages.verifiers.exact_number import exact_number

SPLITS: tuple[Split, ...] = ("train", "rl", "tune", "test")


@pytest.mark.parametrize(
    ("left", "right", "worked"),
    [
        (347, 285, "7+5=12, 4+8+1=13, 3+2+1=6: 632"),
        (100, 200, "0+0=0, 0+0+0=0, 1+2+0=3: 300"),
        (999, 999, "9+9=18, 9+9+1=19, 9+9+1=19: 1998"),
        (905, 195, "5+5=10, 0+9+1=10, 9+1+1=11: 1100"),
    ],
)
def test_steps_are_those_of_a_person_on_paper(left: int, right: int, worked: str) -> None:
    assert work_out(left, right) == worked


def _operands(prompt: str) -> tuple[int, int]:
    left, right = prompt.split("+")
    return int(left), int(right)


def test_every_completion_ends_in_the_right_sum() -> None:
    for row in generate_examples(500, "train", worked=0.5, seed=1):
        assert (
            exact_number(row["completion"], PosedProblem("", str(sum(_operands(row["prompt"]))))).reward
            == 1.0
        )


def test_problems_state_their_sum_and_come_in_three_digits() -> None:
    for problem in generate_problems(500, "rl", seed=1):
        left, right = _operands(problem["prompt"])
        assert problem["ground_truth"] == str(left + right)
        assert 100 <= left <= 999
        assert 100 <= right <= 999


def test_no_problem_is_in_two_splits_or_twice_in_one() -> None:
    prompts = [problem["prompt"] for split in SPLITS for problem in generate_problems(2000, split, seed=3)]
    assert len(set(prompts)) == len(prompts) == 8000


def test_splits_stay_disjoint_whatever_the_seeds() -> None:
    held_out = {problem["prompt"] for problem in generate_problems(5000, "test", seed=1)}
    for seed in range(3):
        assert held_out.isdisjoint(row["prompt"] for row in generate_examples(5000, "train", 0.5, seed))


def test_splits_have_the_shares_they_say() -> None:
    pairs = [(left, right) for left in range(100, 1000, 7) for right in range(100, 1000, 5)]
    shares = {split: sum(split_of(*pair) == split for pair in pairs) / len(pairs) for split in SPLITS}
    assert shares == pytest.approx({"train": 0.70, "rl": 0.16, "tune": 0.06, "test": 0.08}, abs=0.01)


def test_a_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert generate_examples(50, "train", 0.5, seed=1) == generate_examples(50, "train", 0.5, seed=1)
    assert generate_examples(50, "train", 0.5, seed=1) != generate_examples(50, "train", 0.5, seed=2)
    assert generate_problems(50, "rl", seed=1) == generate_problems(50, "rl", seed=1)
    assert generate_problems(50, "rl", seed=1) != generate_problems(50, "rl", seed=2)


@pytest.mark.parametrize("worked", [0.0, 0.25, 1.0])
def test_the_share_of_worked_rows_is_as_asked(worked: float) -> None:
    rows = generate_examples(2000, "train", worked, seed=1)
    assert sum(row["source"] == "worked" for row in rows) / 2000 == pytest.approx(worked, abs=0.03)
    assert all(("=" in row["completion"]) == (row["source"] == "worked") for row in rows)


def test_more_problems_than_a_split_holds_are_refused() -> None:
    with pytest.raises(DataError, match=r"split: test was asked for 60000 problems(.|\n)*at most 58320"):
        generate_problems(60_000, "test", seed=1)
