"""Metrics of recorded verdicts, worked out by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import StageError
from stages.gate_metrics import Problems, measure, reach, read_problems
from stages.verify import ROLLOUT_SCHEMA

Samples = Mapping[str, Sequence[Mapping[str, Any]]]


def rollouts(path: Path, problems: Samples) -> Path:
    """A verify stage's file: for each problem its samples, as what differs from a plain right one."""
    rows = [
        {
            "problem_id": problem,
            "sample": number,
            "prompt": [{"role": "user", "content": f"toss {problem}"}],
            "ground_truth": "1",
            "verifier": "exact_number",
            "arguments": "{}",
            "source": "coins",
            "completion": f"{path.stem} {number}",
            "completion_ids": [5, 6, 7],
            "finished": True,
            "reward": 1.0,
            "reason": "because",
            "parts": "{}",
            "model": path.stem,
            "temperature": 1.0,
            "top_p": 1.0,
            **changes,
        }
        for problem, samples in problems.items()
        for number, changes in enumerate(samples)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=ROLLOUT_SCHEMA), path)
    return path


def problems(folder: Path, given: Samples, name: str = "rows") -> Problems:
    return read_problems(rollouts(folder / f"{name}.parquet", given))


def by_id(metric: str, given: Problems, beside: Problems | None = None) -> dict[str, float]:
    return {json.loads(key)[0]: value for key, value in measure(metric, given, beside or {}).items()}


def rewards(*given: float) -> list[dict[str, Any]]:
    return [{"reward": reward} for reward in given]


def test_a_problem_counts_once_with_the_mean_of_its_samples(tmp_path: Path) -> None:
    given = problems(
        tmp_path,
        {
            "p": [
                {"reward": 1.0, "completion_ids": [1] * 10},
                {"reward": 0.5, "completion_ids": [1] * 20, "finished": False},
            ],
            "q": [{"reward": 0.0, "completion_ids": []}],
        },
    )
    assert by_id("accuracy", given) == {"p": 0.5, "q": 0.0}, "only a full reward is right"
    assert by_id("reward", given) == {"p": 0.75, "q": 0.0}
    assert by_id("length", given) == {"p": 15.0, "q": 0.0}
    assert by_id("truncated", given) == {"p": 0.5, "q": 0.0}
    assert by_id("pass@1", given) == {"p": 0.5, "q": 0.0}


def test_pass_at_2_is_the_share_of_pairs_with_a_right_one(tmp_path: Path) -> None:
    given = problems(tmp_path, {"p": rewards(1, 0, 0, 0), "q": rewards(1, 1, 0, 0), "r": rewards(0, 0)})
    assert by_id("pass@2", given) == pytest.approx({"p": 3 / 6, "q": 5 / 6, "r": 0.0})


def test_pass_at_k_leaves_out_one_problem_in_a_hundred_that_lost_a_sample(tmp_path: Path) -> None:
    given = {f"p{number}": rewards(1, 0) for number in range(99)}
    assert len(by_id("pass@2", problems(tmp_path, {**given, "short": rewards(1)}))) == 99
    with pytest.raises(StageError, match="pass@2 was asked of 1 samples"):
        measure("pass@2", problems(tmp_path, {**given, "short": rewards(1), "too": rewards(1)}), {})


def test_a_metric_of_one_source_takes_its_problems_alone(tmp_path: Path) -> None:
    given = problems(tmp_path, {"p": [{"source": "gsm8k"}], "q": [{"source": "a:b [red]", "reward": 0.0}]})
    assert by_id("accuracy:gsm8k", given) == {"p": 1.0}
    assert by_id("accuracy:a:b [red]", given) == {"q": 0.0}
    with pytest.raises(StageError) as caught:
        measure("accuracy:math", given, {})
    assert "gsm8k" in str(caught.value) and "'math'" in str(caught.value)


def test_a_part_that_a_verdict_no_longer_reaches_counts_nothing(tmp_path: Path) -> None:
    """q never gets as far as its tests any more; r is of a verifier without that part."""
    before = {"p": [{"parts": '{"tests": 0.5}'}], "q": [{"parts": '{"tests": 1.0}'}], "r": [{}]}
    after = {"p": [{"parts": '{"tests": 1}'}, {"parts": '{"other": 1}'}], "q": [{}], "r": [{}]}
    was, now = problems(tmp_path, before), problems(tmp_path, after, "after")
    assert by_id("part.tests", was, now) == {"p": 0.5, "q": 1.0}
    assert by_id("part.tests", now, was) == {"p": 0.5, "q": 0.0}
    with pytest.raises(StageError, match="other, tests"):
        measure("part.format", now, was)


def test_neither_the_order_of_rows_nor_that_of_keys_matters(tmp_path: Path) -> None:
    path = rollouts(tmp_path / "rows.parquet", {"q": rewards(1, 0, 0.5), "p": rewards(0, 1)})
    there = read_problems(path)
    pq.write_table(pq.read_table(path).take([4, 2, 0, 3, 1]), path)
    assert list(read_problems(path).items()) == list(there.items())


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": [{"role": "user", "content": "another"}]},
        {"ground_truth": "2"},
        {"verifier": "exact_match"},
        {"arguments": '{"tolerance": 1}'},
    ],
    ids=lambda other: next(iter(other)),
)
def test_problems_of_one_id_and_other_content_are_others(tmp_path: Path, other: dict[str, Any]) -> None:
    here, there = problems(tmp_path, {"p": [{}]}), problems(tmp_path, {"p": [other]})
    assert here.keys() & there.keys() == set()


def test_the_largest_difference_is_1_for_shares_and_what_was_seen_for_the_rest(tmp_path: Path) -> None:
    here = problems(tmp_path, {"p": [{"completion_ids": [1] * 40, "parts": '{"score": -3}'}]})
    there = problems(tmp_path, {"p": [{"completion_ids": [1] * 90, "parts": '{"score": 4, "format": 1}'}]})
    assert [reach(name, [here, there]) for name in ("accuracy", "length", "part.score", "part.format")] == [
        1.0,
        90.0,
        7.0,
        1.0,
    ]
