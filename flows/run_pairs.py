"""Two runs' models on the same problems: the difference in accuracy, paired, and the completions behind it.

A problem is the same in both when its id, prompt, ground truth, verifier and arguments are. Its samples count
once, as their share of full rewards, since they resemble each other (arXiv 2411.00640, "Adding Error Bars to Evals").
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts.canonical import canonical_json
from stages.comparison import PairedComparison, paired_comparison

_SEED = 0
"""Of the bootstrap: the same two runs give the same interval."""

_IDENTITY = ("problem_id", "prompt", "ground_truth", "verifier", "arguments")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChangedProblem:
    """A problem that one model gets right more often than the other."""

    problem_id: str
    prompt: str
    """Its last message."""

    ground_truth: str
    before: float
    after: float
    """Shares of completions with full reward."""

    completion_before: str
    reason_before: str
    completion_after: str
    reason_after: str
    """One of each model: the right one of whoever is better here, a wrong one of the other."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two models' completions, brought together by problem."""

    num_before: int
    num_after: int
    """Problems of each."""

    comparison: PairedComparison | None
    """Over the problems that both have; None where they share none."""

    better: list[ChangedProblem] = field(default_factory=list[ChangedProblem])
    worse: list[ChangedProblem] = field(default_factory=list[ChangedProblem])
    """Right more often, or less often, after than before; the largest change first."""

    num_gained: int = 0
    num_lost: int = 0
    """Of these: never right before, and never right after."""


def pair_completions(before: Path, after: Path) -> Pairing:
    """Compare two files of rollouts."""
    was, now = _by_problem(before), _by_problem(after)
    shared = sorted(was.keys() & now.keys())
    if not shared:
        return Pairing(len(was), len(now), None)
    rewards_before, rewards_after = _rewards(was, shared), _rewards(now, shared)
    comparison = paired_comparison(rewards_before, rewards_after, _SEED)
    changed = [
        _changed(was[key], now[key])
        for key in shared
        if _share(rewards_before[key]) != _share(rewards_after[key])
    ]
    changed.sort(key=lambda problem: -abs(problem.after - problem.before))
    better = [problem for problem in changed if problem.after > problem.before]
    worse = [problem for problem in changed if problem.after < problem.before]
    return Pairing(
        num_before=len(was),
        num_after=len(now),
        comparison=comparison,
        better=better,
        worse=worse,
        num_gained=sum(problem.before == 0 for problem in better),
        num_lost=sum(problem.after == 0 for problem in worse),
    )


def _by_problem(path: Path) -> dict[str, list[Row]]:
    columns = [*_IDENTITY, "completion", "reward", "reason"]
    found: dict[str, list[Row]] = defaultdict(list)
    for row in pq.read_table(path, columns=columns).to_pylist():
        found[canonical_json([row[name] for name in _IDENTITY])].append(row)
    return found


def _rewards(problems: Mapping[str, Sequence[Row]], keys: Sequence[str]) -> dict[str, list[float]]:
    """Full rewards as 1, all others as 0: what accuracy counts."""
    return {key: [float(row["reward"] == 1.0) for row in problems[key]] for key in keys}


def _share(rewards: Sequence[float]) -> float:
    return sum(rewards) / len(rewards)


def _changed(before: Sequence[Row], after: Sequence[Row]) -> ChangedProblem:
    shares = [_share([float(row["reward"] == 1.0) for row in rows]) for rows in (before, after)]
    is_better = shares[1] > shares[0]
    was, now = _example(before, is_right=not is_better), _example(after, is_right=is_better)
    return ChangedProblem(
        problem_id=was["problem_id"],
        prompt=was["prompt"][-1]["content"],
        ground_truth=was["ground_truth"],
        before=shares[0],
        after=shares[1],
        completion_before=was["completion"],
        reason_before=was["reason"],
        completion_after=now["completion"],
        reason_after=now["reason"],
    )


def _example(rows: Sequence[Row], *, is_right: bool) -> Row:
    """There is one: whoever is better has a right completion, the other a wrong one."""
    return next(row for row in rows if (row["reward"] == 1.0) == is_right)
