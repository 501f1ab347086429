"""Verdicts counted by DuckDB, against the same counted in Python over random rows."""

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.warehouse.verdict_counts import count_reasons, count_sources, examples, shares_right
from stages.gate_metrics import read_problems, share_right
from stages.verify import ROLLOUT_SCHEMA
from tests.report.trained_home import rollouts


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """50 problems from two sources, three samples each, rewards at random; ids repeat with other prompts."""
    draw = random.Random(3)
    made = rollouts((), 50, 3)
    for row in made:
        row["reward"] = draw.choice([0.0, 0.5, 1.0])
        row["reason"] = draw.choice(["answered 1, expected 2", "answered -3.5, expected 1,000", "no number"])
        row["problem_id"] = row["problem_id"][:-1] + "0"
    draw.shuffle(made)
    return made


@pytest.fixture
def path(rows: list[dict[str, Any]], tmp_path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema=ROLLOUT_SCHEMA), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def test_sources_are_counted_by_problem_completion_and_full_reward(
    rows: list[dict[str, Any]], path: Path
) -> None:
    expected: dict[str, tuple[set[str], list[bool]]] = defaultdict(lambda: (set(), []))
    for row in rows:
        expected[row["source"]][0].add(row["prompt"][0]["content"])
        expected[row["source"]][1].append(row["reward"] == 1.0)
    found = [(each.source, each.problems, each.completions, each.right) for each in count_sources(path)]
    assert found == [(name, len(p), len(right), sum(right)) for name, (p, right) in sorted(expected.items())]


def test_a_problem_is_what_a_gate_takes_for_one(path: Path) -> None:
    assert sorted(shares_right(path).values()) == sorted(
        share_right(problem) for problem in read_problems(path).values()
    )


def test_reasons_are_counted_without_their_numbers(rows: list[dict[str, Any]], path: Path) -> None:
    wrong = [row["reason"] for row in rows if row["reward"] != 1.0]
    answered = sum(reason.startswith("answered") for reason in wrong)
    found = [(each.reason, each.completions) for each in count_reasons(path, 5)]
    assert found == [("answered #, expected #", answered), ("no number", len(wrong) - answered)]


def test_an_example_is_as_most_of_its_samples_are(path: Path) -> None:
    shares = shares_right(path)
    found = examples(path, list(shares), [], longest=10)
    assert found.keys() == shares.keys()
    for problem, example in found.items():
        assert (example.reward == 1.0) == (shares[problem] >= 0.5)
        assert example.right == pytest.approx(shares[problem] * example.samples)
        assert len(example.completion) == 10 < example.num_characters


def test_of_as_many_right_as_wrong_the_example_is_what_was_asked_for(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    two = [{**rows[0], "sample": number, "reward": float(number)} for number in range(2)]
    pq.write_table(pa.Table.from_pylist(two, schema=ROLLOUT_SCHEMA), tmp_path / "two.parquet")
    (problem,) = shares_right(tmp_path / "two.parquet")
    for in_doubt_wrong, reward in (([], 1.0), ([problem], 0.0)):
        found = examples(tmp_path / "two.parquet", [problem], in_doubt_wrong, longest=10)
        assert found[problem].reward == reward
