"""Two runs' models on the same problems: the difference in accuracy, paired, and the completions behind it.

Problems are brought together and their changes shown as by a gate; each counts once, as its samples' share of full
rewards.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_contracts.gates import Flip
from stages.comparison import PairedComparison, paired_comparison
from stages.gate_flips import flips
from stages.gate_metrics import Problems, is_right, read_problems

_SEED = 0
"""Of the bootstrap: the same two runs give the same interval."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two models' completions, brought together by problem."""

    num_before: int
    num_after: int
    """Problems of each."""

    comparison: PairedComparison | None
    """Over the problems that both have; None where they share none."""

    better: list[Flip] = field(default_factory=list[Flip])
    worse: list[Flip] = field(default_factory=list[Flip])
    """Right more often, or less often, after than before; the largest change first."""

    num_gained: int = 0
    num_lost: int = 0
    """Of these: never right before, and never right after."""


def pair_completions(before: Path, after: Path) -> Pairing:
    """Compare two files of rollouts."""
    was, now = read_problems(before), read_problems(after)
    shared = sorted(was.keys() & now.keys())
    if not shared:
        return Pairing(len(was), len(now), None)
    comparison = paired_comparison(_rights(was, shared), _rights(now, shared), _SEED)
    changed = list(flips(was, now).values())
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


def _rights(problems: Problems, keys: Sequence[str]) -> dict[str, list[float]]:
    """Full rewards as 1, all others as 0: what accuracy counts."""
    return {key: [float(is_right(row)) for row in problems[key]] for key in keys}
