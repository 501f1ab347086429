"""Problems worth training on: those a model solves sometimes, neither never nor always.

A group of completions that are all right or all wrong has no advantage to follow, so GRPO learns nothing
from it.
"""

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import EmptyResultError
from data_contracts.jobs import StageJob, StageResult
from data_contracts.stage_configs import SelectConfig
from stages.verify import ROLLOUT_SCHEMA
from stages.written_rows import write_rows

_PROBLEM_COLUMNS = ["problem_id", "prompt", "ground_truth", "verifier", "arguments", "source"]
_SCHEMA = pa.schema([*(ROLLOUT_SCHEMA.field(name) for name in _PROBLEM_COLUMNS), ("pass_rate", pa.float64())])


def select_problems(job: StageJob, config: SelectConfig) -> StageResult:
    """Keep the problems whose share of full rewards lies in the band. Weights of sources do not apply."""
    tables = [pq.read_table(rows.path, columns=[*_PROBLEM_COLUMNS, "reward"]) for rows in job.rows]
    rows = pa.concat_tables(tables).to_pylist()
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["problem_id"]].append(row)
    low, high = config.pass_rate
    rates = {
        problem: float(np.mean([row["reward"] == 1.0 for row in group])) for problem, group in groups.items()
    }
    below = sum(rate < low for rate in rates.values())
    above = sum(rate > high for rate in rates.values())
    kept = [
        {name: groups[problem][0][name] for name in _PROBLEM_COLUMNS} | {"pass_rate": rate}
        for problem, rate in rates.items()
        if low <= rate <= high
    ]
    if not kept:
        raise EmptyResultError(
            f"No problem has a pass rate in [{low}, {high}]: of {len(rates)}, {below} are below and {above} above.",
            "at least one problem that is solved sometimes",
            "Widen pass_rate, give the verify stage more samples, or train the model before it further."
            if below >= above
            else "Widen pass_rate, or give harder problems.",
        )
    metrics = {
        "select/below": float(below),
        "select/in_band": float(len(kept)),
        "select/above": float(above),
        "select/pass_rate_mean": float(np.mean(list(rates.values()))),
    }
    notes = [f"{len(kept)} of {len(rates)} problems in the band, {below} below, {above} above"]
    return write_rows(job, pa.Table.from_pylist(kept, schema=_SCHEMA), metrics, notes)
