"""Verdicts of an evaluation counted by DuckDB: by source, by reason and by problem, and examples of a few problems.

A problem is the same in two files when its id, prompt, ground truth, verifier and arguments are, as for a gate. No
file is read into Python: a report of a hundred thousand completions takes as long as one of a thousand.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

_PROBLEM = "hash(problem_id, to_json(prompt)::varchar, ground_truth, verifier, arguments)"
_NUMBER = r"-?\d+([.,]\d+)*"


@dataclass(frozen=True, slots=True)
class SourceCount:
    """Completions of the problems of one source."""

    source: str
    problems: int
    completions: int
    right: int


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How often a verdict short of full reward had this reason, its numbers left out."""

    reason: str
    completions: int


@dataclass(frozen=True, slots=True)
class Example:
    """One completion of a problem, and how its samples did together."""

    prompt: str
    """Its last message, cut."""

    ground_truth: str
    source: str
    verifier: str
    completion: str
    num_characters: int
    """Of the completion, before it was cut."""

    reward: float
    reason: str
    parts: str
    """JSON."""

    samples: int
    right: int


def count_sources(path: Path) -> list[SourceCount]:
    """By name."""
    query = (
        f"select source, count(distinct {_PROBLEM}), count(*), count(*) filter (reward = 1.0)"
        " from read_parquet($path) group by source order by source"
    )
    return [SourceCount(*row) for row in _rows(query, path)]


def count_reasons(path: Path, limit: int) -> list[ReasonCount]:
    """The most frequent reasons of completions without full reward."""
    query = (
        "select any_value(shown), count(*) as number from (select regexp_replace(reason[:300], $number, '#', 'g')"
        " as shown from read_parquet($path) where reward <> 1.0) group by shown order by number desc, shown"
        " limit $limit"
    )
    return [ReasonCount(*row) for row in _rows(query, path, number=_NUMBER, limit=limit)]


def shares_right(path: Path) -> dict[int, float]:
    """The share of full rewards of each problem, in the order of their ids."""
    query = (
        f"select {_PROBLEM} as problem, avg((reward = 1.0)::int) from read_parquet($path)"
        " group by problem order by min(problem_id), problem"
    )
    return dict(_rows(query, path))


def examples(
    path: Path, problems: Collection[int], in_doubt_wrong: Collection[int], longest: int
) -> Mapping[int, Example]:
    """A completion of each problem: a right one where most of its samples are right, else a wrong one.

    Of problems with as many right as wrong a right one, except of those in `in_doubt_wrong`. Prompts and completions
    are cut to `longest` characters, what is said of them to a third.
    """
    query = f"""
with chosen as (
    select {_PROBLEM} as problem, *, count(*) over problem as samples,
        count(*) filter (reward = 1.0) over problem as num_right,
    from read_parquet($path) where {_PROBLEM} in (select unnest($problems::ubigint[]))
    window problem as (partition by {_PROBLEM}))
select problem, prompt[-1].content[:$longest], ground_truth[:$short], source[:$short], verifier,
    completion[:$longest], length(completion), reward, reason[:$short], parts[:$short], samples, num_right
from chosen
qualify row_number() over (
    partition by problem order by (reward = 1.0) = (2 * num_right > samples
        or 2 * num_right = samples and problem not in (select unnest($wrong::ubigint[]))) desc, sample, completion) = 1
"""
    found = _rows(
        query, path, problems=list(problems), wrong=list(in_doubt_wrong), longest=longest, short=longest // 3
    )
    return {problem: Example(*fields) for problem, *fields in found}


def _rows(query: str, path: Path, **parameters: str | int | Sequence[int]) -> list[tuple[Any, ...]]:
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as db:
        return db.execute(query, {"path": str(path), **parameters}).fetchall()
