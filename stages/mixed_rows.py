"""The rows a stage reads, each input by its weight, and where every one of them came from.

Positions travel beside the rows through weights and drops, so that a model can name the rows it was given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.jobs import RowsInput, StageJob

Positions: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MixedRows:
    """Rows of several inputs in the order they are read."""

    table: pa.Table
    input: NDArray[np.int16]
    """[rows] Which of the inputs."""

    row: Positions
    """[rows] Position in that input."""


def read_mixed_rows(inputs: Iterable[RowsInput], columns: list[str], seed: int) -> MixedRows:
    """All rows of the inputs, each input by its weight."""
    random = np.random.default_rng(seed)
    tables: list[pa.Table] = []
    positions: list[Positions] = []
    for rows in inputs:
        table = pq.read_table(rows.path, columns=columns)
        copies, drawn = draw_by_weight(table.num_rows, rows.weight, random)
        tables.append(_repeat(table, copies, drawn))
        positions.append(np.concatenate([np.tile(np.arange(table.num_rows), copies), drawn]))
    numbers = np.repeat(np.arange(len(positions), dtype=np.int16), [len(part) for part in positions])
    return MixedRows(pa.concat_tables(tables), numbers, np.concatenate(positions))


def sources_of(inputs: Sequence[RowsInput], rows: MixedRows) -> pa.Array:
    """Where each row came from: as its `source` says, else the name of its input."""
    parts: list[pa.Array] = []
    for number, given in enumerate(inputs):
        position = pa.array(rows.row[rows.input == number])
        own = pa.nulls(len(position), pa.string())
        if "source" in pq.read_schema(given.path).names:
            read = pq.read_table(given.path, columns=["source"])["source"].combine_chunks()
            own = read.cast(pa.string()).take(position)
        parts.append(pc.fill_null(own, given.name))
    return pa.concat_arrays(parts)


def repeat_by_weight(table: pa.Table, weight: float, random: np.random.Generator) -> pa.Table:
    """Whole copies of the rows, then a seeded draw for the fraction."""
    return _repeat(table, *draw_by_weight(table.num_rows, weight, random))


def draw_by_weight(num_rows: int, weight: float, random: np.random.Generator) -> tuple[int, Positions]:
    """How many whole copies, and which rows once more, in order."""
    copies, fraction = divmod(weight, 1)
    drawn = random.permutation(num_rows)[: round(fraction * num_rows)]
    return int(copies), np.sort(drawn)


def write_training_rows(job: StageJob, rows: MixedRows, is_kept: NDArray[np.bool_]) -> None:
    """Note what the trainer is given: (input, row, times), a line per distinct row.

    `is_kept` [rows] is false for what the stage dropped, a row too long, say.
    """
    longest = int(rows.row.max(initial=0)) + 1
    code = rows.input[is_kept].astype(np.int64) * longest + rows.row[is_kept]
    distinct, times = np.unique(code, return_counts=True)
    table = pa.table(
        {
            "input": (distinct // longest).astype(np.int16),
            "row": distinct % longest,
            "times": times.astype(np.int32),
        }
    )
    pq.write_table(table, job.training_rows_path, compression="zstd")


def _repeat(table: pa.Table, copies: int, drawn: Positions) -> pa.Table:
    return pa.concat_tables([*[table] * copies, table.take(pa.array(drawn, pa.int64()))])
