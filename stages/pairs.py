"""Preference pairs from verdicts: of one prompt's completions, the better against the worse.

On-policy pairs come from verify stages; preference datasets can be mixed in by weight (Tülu 3 mixes both).
"""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import EmptyResultError
from data_contracts.jobs import StageJob, StageResult
from data_contracts.rows import RowKind
from data_contracts.stage_configs import PairsConfig
from stages.mixed_rows import repeat_by_weight
from stages.written_rows import write_rows

Row = dict[str, Any]

PAIR_SCHEMA = pa.schema(
    {
        "prompt": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        "chosen": pa.string(),
        "rejected": pa.string(),
        "source": pa.string(),
        "problem_id": pa.string(),
        "margin": pa.float64(),
    }
)
_OFF_POLICY = ["prompt", "chosen", "rejected", "source"]
_ON_POLICY = ["problem_id", "prompt", "completion", "completion_ids", "reward", "source"]


def make_pairs(job: StageJob, config: PairsConfig) -> StageResult:
    """Pair completions whose rewards differ enough; drop and count what teaches nothing.

    A source's weight applies to its pairs, so that it never splits the completions of one prompt.
    """
    random = np.random.default_rng(job.seed)
    counts: Counter[str] = Counter()
    tables: list[pa.Table] = []
    for source in job.rows:
        if source.kind is RowKind.rollouts:
            rows = pq.read_table(source.path, columns=_ON_POLICY).to_pylist()
            pairs = _pair_rollouts(rows, config, random, counts)
        else:
            rows = pq.read_table(source.path, columns=_OFF_POLICY).to_pylist()
            pairs = [{**row, "problem_id": "", "margin": 1.0} for row in rows]
        tables.append(
            repeat_by_weight(pa.Table.from_pylist(pairs, schema=PAIR_SCHEMA), source.weight, random)
        )
        counts["on_policy" if source.kind is RowKind.rollouts else "off_policy"] += tables[-1].num_rows
    table = pa.concat_tables(tables)
    if table.num_rows == 0:
        raise EmptyResultError(
            f"No preference pair could be made from {counts['prompts']} prompts: "
            f"{counts['tied']} had no two completions {config.min_margin} apart in reward, "
            f"{counts['identical']} pairs had equal texts.",
            "at least one prompt with a better and a worse completion",
            _advice(counts),
        )
    counts["pairs"] = table.num_rows
    metrics = {f"pairs/{name}": float(count) for name, count in sorted(counts.items())}
    return write_rows(job, table, metrics, _notes(counts))


def _advice(counts: Counter[str]) -> str:
    always = "Give the verify stage more samples or a higher temperature, or lower min_margin."
    if counts["completions"] and counts["right"] == 0:
        return f"None of {counts['completions']} completions was right: train for longer before. {always}"
    if counts["completions"] and counts["right"] == counts["completions"]:
        return f"All {counts['completions']} completions were right: give harder problems. {always}"
    return always


def _pair_rollouts(
    rows: list[Row], config: PairsConfig, random: np.random.Generator, counts: Counter[str]
) -> list[Row]:
    by_problem: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_problem[row["problem_id"]].append(row)
    counts["completions"] += len(rows)
    counts["right"] += sum(row["reward"] == 1.0 for row in rows)
    pairs: list[Row] = []
    for group in by_problem.values():
        counts["prompts"] += 1
        candidates = _candidates(group, config, random)
        if not candidates:
            counts["tied"] += 1
            continue
        distinct = [pair for pair in candidates if not _is_identical(*pair, config.max_completion_length)]
        counts["identical"] += len(candidates) - len(distinct)
        pairs += [_pair(better, worse) for better, worse in distinct]
    return pairs


def _candidates(group: list[Row], config: PairsConfig, random: np.random.Generator) -> list[tuple[Row, Row]]:
    """Best against worst, then second best against second worst, ties in random order."""
    shuffled = [group[position] for position in random.permutation(len(group))]
    ranked = sorted(shuffled, key=lambda row: row["reward"], reverse=True)
    facing = list(zip(ranked, reversed(ranked), strict=True))[: len(ranked) // 2]
    apart = [(b, w) for b, w in facing if b["reward"] - w["reward"] >= config.min_margin]
    return apart[: config.pairs_per_prompt]


def _is_identical(better: Row, worse: Row, length: int | None) -> bool:
    if better["completion"].strip() == worse["completion"].strip():
        return True
    return better["completion_ids"][:length] == worse["completion_ids"][:length]


def _pair(better: Row, worse: Row) -> Row:
    return {
        "prompt": better["prompt"],
        "chosen": better["completion"],
        "rejected": worse["completion"],
        "source": better["source"],
        "problem_id": better["problem_id"],
        "margin": better["reward"] - worse["reward"],
    }


def _notes(counts: Counter[str]) -> list[str]:
    notes = [f"{counts['tied']} of {counts['prompts']} prompts tied"] if counts["tied"] else []
    if counts["identical"]:
        notes.append(f"{counts['identical']} pairs of equal texts dropped")
    return notes
