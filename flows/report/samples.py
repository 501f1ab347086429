"""Completions to look at: a few problems, each with what every model of the run wrote, side by side.

Problems whose outcome changed from one model to the next come first, lost and gained by turns, the largest changes
first; then those that the last model always fails, those it sometimes has right, and those it always has right.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise, zip_longest

from flows.report.reported_run import ReportedRun
from infra.warehouse.verdict_counts import Example, ReasonCount, count_reasons, examples, shares_right

LONGEST = 600
"""Characters shown of a text."""

PROBLEMS = 60
_COMPLETIONS = 4 * PROBLEMS
"""Shown in all: of more models, fewer problems."""

_REASONS = 6
_FLIPPED_SHARE = 0.6
"""Of the problems shown, at most, where others are to be had."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A problem with a completion of each model."""

    why: str
    """`lost` or `gained`; `failed`, `mixed` or `right` in all samples of the last model."""

    step: str
    """Between which models; empty where it did not."""

    first: Example
    """For what all of them share."""

    by_model: tuple[tuple[str, Example | None], ...]


@dataclass(frozen=True, slots=True)
class SamplesOfRun:
    """All that a report shows of completions."""

    models: tuple[str, ...]
    problems: int
    """Of the last model's evaluation."""

    samples: tuple[Sample, ...]
    reasons: tuple[tuple[str, tuple[ReasonCount, ...]], ...]
    """By model, why completions did not get full reward, most frequent first."""


def samples_of(reported: ReportedRun) -> SamplesOfRun | None:
    """None where no evaluation's completions are in the home."""
    paths = reported.completions()
    if not paths:
        return None
    shares = {model: shares_right(path) for model, path in paths.items()}
    chosen = choose_problems(shares, min(PROBLEMS, max(1, _COMPLETIONS // len(paths))))
    lost = [problem for problem, (why, _) in chosen.items() if why == "lost"]
    found = {model: examples(path, list(chosen), lost, LONGEST) for model, path in paths.items()}
    return SamplesOfRun(
        models=tuple(paths),
        problems=len(list(shares.values())[-1]),
        samples=tuple(_sample(problem, *why, found) for problem, why in chosen.items()),
        reasons=tuple((model, tuple(count_reasons(path, _REASONS))) for model, path in paths.items()),
    )


def choose_problems(shares: Mapping[str, Mapping[int, float]], limit: int) -> dict[int, tuple[str, str]]:
    """At most `limit` problems to why each was chosen. `shares` is, by model, each problem's share of right samples."""
    last = list(shares.values())[-1]
    failed = [problem for problem, share in last.items() if share == 0]
    mixed = [problem for problem, share in last.items() if 0 < share < 1]
    right = [problem for problem, share in last.items() if share == 1]
    flipped = dict(islice(_flipped(shares), int(limit * _FLIPPED_SHARE)))
    chosen = dict(flipped)
    for why, problems, most in (("failed", failed, 0.8), ("mixed", mixed, 0.9), ("right", right, 1.0)):
        others = (problem for problem in problems if problem not in chosen)
        chosen |= dict.fromkeys(islice(others, max(0, int(limit * most) - len(chosen))), (why, ""))
    more = ((problem, why) for problem, why in _flipped(shares) if problem not in chosen)
    return chosen | dict(islice(more, limit - len(chosen)))


def _flipped(shares: Mapping[str, Mapping[int, float]]) -> Iterator[tuple[int, tuple[str, str]]]:
    """Problems by their newest change from a model to the next, one of each step by turns, the newest step first."""
    changed: set[int] = set()
    steps: list[list[tuple[int, tuple[str, str]]]] = []
    for (before, was), (after, now) in reversed(list(pairwise(shares.items()))):
        changes = {
            each: now[each] - was[each]
            for each in now
            if each in was and now[each] != was[each] and each not in changed
        }
        changed |= changes.keys()
        lost = sorted((each for each in changes if changes[each] < 0), key=changes.__getitem__)
        gained = sorted((each for each in changes if changes[each] > 0), key=lambda each: -changes[each])
        step = f"{before} → {after}"
        pairs = zip_longest(
            [(each, ("lost", step)) for each in lost], [(each, ("gained", step)) for each in gained]
        )
        steps.append([each for each in chain.from_iterable(pairs) if each is not None])
    return (each for each in chain.from_iterable(zip_longest(*steps)) if each is not None)


def _sample(problem: int, why: str, step: str, found: Mapping[str, Mapping[int, Example]]) -> Sample:
    by_model: Sequence[tuple[str, Example | None]] = [
        (model, each.get(problem)) for model, each in found.items()
    ]
    first = next(example for _, example in by_model if example is not None)
    return Sample(why, step, first, tuple(by_model))
