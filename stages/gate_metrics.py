"""What a gate measures: recorded verdicts become one number a problem, for any metric.

A problem is the same in two files when its id, prompt, ground truth, verifier and arguments are. Its samples
resemble each other, so it counts once (arXiv 2411.00640, "Adding Error Bars to Evals").
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.errors import StageError
from data_contracts.gates import metric_of
from stages.comparison import pass_at_k

Row = dict[str, Any]
Problems: TypeAlias = Mapping[str, Sequence[Row]]
"""The rows of each problem; the key is what makes it the same problem elsewhere."""

MOST_MISSING = 0.01
"""Share of problems that may lack what the others have: a verify stage leaves out as many verdicts."""

_IDENTITY = ("problem_id", "prompt", "ground_truth", "verifier", "arguments")
_COLUMNS = [*_IDENTITY, "sample", "source", "completion", "finished", "reward", "reason", "parts"]


def read_problems(path: Path) -> dict[str, list[Row]]:
    """Rows of a verify stage by problem, sorted, whatever their order in the file; `num_tokens` is added."""
    table = pq.read_table(path, columns=[*_COLUMNS, "completion_ids"])
    lengths = pc.call_function("list_value_length", [table["completion_ids"]]).to_pylist()
    found: dict[str, list[Row]] = defaultdict(list)
    for row, num_tokens in zip(table.select(_COLUMNS).to_pylist(), lengths, strict=True):
        key = json.dumps([row[name] for name in _IDENTITY], sort_keys=True)
        found[key].append({**row, "num_tokens": num_tokens})
    return {key: sorted(found[key], key=_order) for key in sorted(found)}


def is_right(row: Row) -> bool:
    return row["reward"] == 1.0


def share_right(rows: Sequence[Row]) -> float:
    return fmean(map(is_right, rows))


def measure(metric: str, problems: Problems, beside: Problems) -> dict[str, float]:
    """The metric of each problem that has it.

    A verdict that lacks a part counts 0 for it, if another of the same problem has it, here or in `beside`, the
    other model's: a model whose completions no longer get so far is not to be spared. Raises StageError for a
    source or part that no problem has, and for pass@K of fewer than K samples.
    """
    quantity, source = metric_of(metric)
    chosen = _of_source(problems, source)
    if quantity.startswith("part."):
        return _parts(quantity.removeprefix("part."), chosen, beside)
    if quantity.startswith("pass@"):
        return _passes(int(quantity.removeprefix("pass@")), chosen)
    return {key: _QUANTITIES[quantity](rows) for key, rows in chosen.items()}


def reach(metric: str, problems: Sequence[Problems]) -> float:
    """The largest difference that two models can have on a problem: 1 for shares and rewards.

    A length may differ by all of the longest completion, a part, which can be any number, by all that was seen.
    """
    quantity, _ = metric_of(metric)
    rows = [row for each in problems for group in each.values() for row in group]
    if quantity == "length":
        return float(max(row["num_tokens"] for row in rows))
    if quantity.startswith("part."):
        name = quantity.removeprefix("part.")
        values = [0.0, *(float(json.loads(row["parts"]).get(name, 0.0)) for row in rows)]
        return max(1.0, max(values) - min(values))
    return 1.0


def _order(row: Row) -> tuple[Any, ...]:
    """Of a problem's samples; total, but for rows that are equal in all that is shown."""
    return row["sample"], row["completion"], row["reward"], row["reason"]


_QUANTITIES: dict[str, Callable[[Sequence[Row]], float]] = {
    "accuracy": share_right,
    "reward": lambda rows: fmean(row["reward"] for row in rows),
    "length": lambda rows: fmean(row["num_tokens"] for row in rows),
    "truncated": lambda rows: fmean(not row["finished"] for row in rows),
}


def _of_source(problems: Problems, source: str | None) -> Problems:
    if source is None:
        return problems
    chosen = {key: rows for key, rows in problems.items() if rows[0]["source"] == source}
    if not chosen:
        known = sorted({rows[0]["source"] for rows in problems.values()})
        raise StageError(
            f"No problem of the evaluation is from the source {source!r}.",
            f"one of {', '.join(known)}",
            "Change the gate's metric, or evaluate on problems of that source too.",
        )
    return chosen


def _passes(k: int, problems: Problems) -> dict[str, float]:
    enough = {key: rows for key, rows in problems.items() if len(rows) >= k}
    if len(problems) - len(enough) > MOST_MISSING * len(problems):
        least = min(map(len, problems.values()))
        raise StageError(
            f"pass@{k} was asked of {least} samples per problem.",
            f"k of at most {least}",
            "Draw more samples in the evaluation or ask for a smaller k.",
        )
    return {key: pass_at_k(len(rows), sum(map(is_right, rows)), k) for key, rows in enough.items()}


def _parts(name: str, problems: Problems, beside: Problems) -> dict[str, float]:
    here = {key: [json.loads(row["parts"]) for row in rows] for key, rows in problems.items()}
    there = {key: [json.loads(row["parts"]) for row in beside.get(key, ())] for key in problems}
    having = [key for key in problems if any(name in parts for parts in (*here[key], *there[key]))]
    if not having:
        known = sorted({part for group in here.values() for parts in group for part in parts})
        raise StageError(
            f"No verdict has a part {name!r}.",
            f"one of {', '.join(known)}" if known else "verdicts with parts; these have none",
            "Change the gate's metric, or the verifier of the problems.",
        )
    return {key: fmean(float(parts.get(name, 0.0)) for parts in here[key]) for key in having}
