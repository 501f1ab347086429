"""From the rows a stage was given to the rows it made of them: by problem id, by completion, by pair.

problem ─ problem id ─► rollouts ─ completion ─► pair (chosen or rejected side)
                                 ─ problem id ─► selected problem
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from infra.warehouse.manifests import Integers

_SAME_PROBLEM = """
with ids as (
    select distinct problem_id from read_parquet($source, file_row_number = true)
    where file_row_number in (select row from taken))
select file_row_number as row from read_parquet($made, file_row_number = true) semi join ids using (problem_id)
order by row
"""

_PAIRS_OF_ROLLOUTS = """
with completions as (
    select problem_id, completion, max(reward) as reward from read_parquet($source, file_row_number = true)
    where file_row_number in (select row from taken) group by all)
select pairs.file_row_number as row, chosen.reward as chosen, rejected.reward as rejected
from read_parquet($made, file_row_number = true) as pairs
left join completions as chosen
    on chosen.problem_id = pairs.problem_id and chosen.completion = pairs.chosen
left join completions as rejected
    on rejected.problem_id = pairs.problem_id and rejected.completion = pairs.rejected
where chosen.reward is not null or rejected.reward is not null
order by row
"""

_PAIRS_OF_PAIRS = """
with given as (
    select distinct to_json(prompt)::varchar as prompt, chosen, rejected
    from read_parquet($source, file_row_number = true) where file_row_number in (select row from taken))
select pairs.file_row_number as row
from read_parquet($made, file_row_number = true) as pairs
semi join given on given.prompt = to_json(pairs.prompt)::varchar
    and given.chosen = pairs.chosen and given.rejected = pairs.rejected
where pairs.problem_id = ''
order by row
"""

_VERDICTS = """
select count(*), count(*) filter (reward = 1.0), coalesce(avg(reward), 0.0), count(distinct problem_id)
from read_parquet($source, file_row_number = true) where file_row_number in (select row from taken)
"""

_SHOWN = "select {columns} from read_parquet($source, file_row_number = true) where file_row_number = $row"


@dataclass(frozen=True, slots=True)
class Sides:
    """Pairs made from completions, and what those completions had earned."""

    rows: Integers
    num_chosen: int
    num_rejected: int
    chosen_reward: float
    """Mean; nan for none."""

    rejected_reward: float


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the verifiers said of some rollouts."""

    completions: int
    right: int
    reward_mean: float
    problems: int


def rows_of_same_problem(source: Path, rows: Integers, made: Path) -> Integers:
    """Positions in `made` of what has the problem id of one of these rows of `source`."""
    return _column(_query(_SAME_PROBLEM, rows, source, made), "row")


def pairs_of_rollouts(rollouts: Path, rows: Integers, pairs: Path) -> Sides:
    """Pairs one of whose sides is one of these completions."""
    found = _query(_PAIRS_OF_ROLLOUTS, rows, rollouts, pairs)
    chosen, rejected = (found.column(side).drop_null().to_numpy() for side in ("chosen", "rejected"))
    return Sides(_column(found, "row"), len(chosen), len(rejected), _mean(chosen), _mean(rejected))


def pairs_of_pairs(source: Path, rows: Integers, pairs: Path) -> Integers:
    """Positions of the off-policy pairs that say what one of these rows says."""
    return _column(_query(_PAIRS_OF_PAIRS, rows, source, pairs), "row")


def count_verdicts(rollouts: Path, rows: Integers) -> Verdicts:
    """Verdicts of some rows of a rollouts version."""
    with duckdb.connect(":memory:") as db:
        db.register("taken", pa.table({"row": rows}))
        return Verdicts(*db.execute(_VERDICTS, {"source": str(rollouts)}).fetchall()[0])


def row_texts(path: Path, row: int, columns: Sequence[str]) -> dict[str, str]:
    """Some columns of one row, as text; `columns` are our own names, not a user's."""
    query = _SHOWN.format(columns=", ".join(f"{column}::varchar as {column}" for column in columns))
    with duckdb.connect(":memory:") as db:
        return db.sql(query, params={"source": str(path), "row": row}).to_arrow_table().to_pylist()[0]


def _query(query: str, rows: Integers, source: Path, made: Path) -> pa.Table:
    with duckdb.connect(":memory:") as db:
        db.register("taken", pa.table({"row": rows}))
        return db.sql(query, params={"source": str(source), "made": str(made)}).to_arrow_table()


def _column(table: pa.Table, name: str) -> Integers:
    return table.column(name).to_numpy().astype(np.int64)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
