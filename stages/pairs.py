"""Preference pairs from verdicts: of one prompt's completions, the better against the worse.

On-policy pairs come from verify stages; preference datasets can be mixed in by weight (Tülu 3 mixes both).
"""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from data_contracts.errors import EmptyResultError
from data_contracts.jobs import StageJob, StageResult
from data_contracts.rows import RowKind
from data_contracts.stage_configs import PairsConfig
from stages.training import read_mixed_rows
from stages.verify import write_rows

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
    """Pair completions whose rewards differ enough; drop and count what teaches nothing."""
    rollouts = [rows for rows in job.rows if rows.kind is RowKind.rollouts]
    datasets = [rows for rows in job.rows if rows.kind is RowKind.pairs]
    counts: Counter[str] = Counter()
    pairs: list[Row] = []
    for source in rollouts:
        made = _pair_rollouts(_read([source], _ON_POLICY, job.seed), config, job.seed, counts)
        pairs += made
    if datasets:
        off_policy = _read(datasets, _OFF_POLICY, job.seed)
        pairs += [{**row, "problem_id": "", "margin": 1.0} for row in off_policy]
        counts["off_policy"] = len(off_policy)
    if not pairs:
        raise EmptyResultError(
            f"No preference pair could be made from {counts['prompts']} prompts: "
            f"{counts['tied']} had no two completions {config.min_margin} apart in reward, "
            f"{counts['identical']} pairs had equal texts.",
            "at least one prompt with a better and a worse completion",
            "Give the verify stage more samples or a higher temperature, or lower min_margin.",
        )
    counts["pairs"] = len(pairs)
    metrics = {f"pairs/{name}": float(count) for name, count in sorted(counts.items())}
    return write_rows(job, pa.Table.from_pylist(pairs, schema=PAIR_SCHEMA), metrics, _notes(counts))


def _read(inputs: list[Any], columns: list[str], seed: int) -> list[Row]:
    return Dataset(read_mixed_rows(inputs, columns, seed)).to_list()


def _pair_rollouts(rows: list[Row], config: PairsConfig, seed: int, counts: Counter[str]) -> list[Row]:
    by_problem: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_problem[row["problem_id"]].append(row)
    random = np.random.default_rng(seed)
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
