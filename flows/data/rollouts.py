"""Rollouts on their way to a verifier and back: the columns it needs, and new verdicts in the place of the old.

A chunk of either travels as Arrow's IPC stream in plain bytes: every task runner copies those at once, Prefect does
not walk through them in search of futures, and workers need no storage in common with this home.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.reading import require_columns
from infra.warehouse.warehouse import Warehouse
from stages.verifiers.submission import Outcome

_MESSAGE = pa.struct({"role": pa.string(), "content": pa.string()})
_JUDGED = pa.schema(
    {
        "prompt": pa.list_(_MESSAGE),
        "ground_truth": pa.string(),
        "verifier": pa.string(),
        "arguments": pa.string(),
        "completion": pa.string(),
        "reward": pa.float64(),
    }
)
_VERDICTS = pa.schema({"reward": pa.float64(), "reason": pa.string(), "parts": pa.string()})


def read_rollouts(
    warehouse: Warehouse, version: DatasetVersion, verifier: str | None, arguments: str | None
) -> pa.Table:
    """All rows of a version, with what is given in place of their own verifier and arguments.

    Raises DataError for rows of another kind and for rows that cannot be judged: a file of rollouts is imported as
    it is.
    """
    if version.kind is not RowKind.rollouts:
        raise DataError(
            f"{version} holds {version.kind} rows.",
            "rollouts: completions with a verdict",
            "`burnish data list` shows the kinds; a verify or grpo stage makes rollouts.",
        )
    given = {"verifier": verifier, "arguments": arguments}
    replaced = {name: text for name, text in given.items() if text is not None}
    require_columns(version, [name for name in _JUDGED.names if name not in replaced])
    rows = warehouse.reader.read(version)
    for name, text in replaced.items():
        rows = _with(rows, name, pa.chunked_array([pa.repeat(text, rows.num_rows)]))
    _require_judgeable(version, _judged(version, rows))
    return rows


def chunks_to_judge(
    version: DatasetVersion, rows: pa.Table, numbers: NDArray[np.int64], size: int
) -> Iterator[bytes]:
    """What verifiers need of `rows` of a version, `size` rows a chunk; `row` is their number in the version."""
    judged = _judged(version, rows).append_column("row", pa.array(numbers))
    return (_written(judged.slice(start, size)) for start in range(0, rows.num_rows, size))


def read_chunk(chunk: bytes) -> list[dict[str, Any]]:
    return _read(chunk).to_pylist()


def write_verdicts(outcomes: Sequence[Outcome]) -> bytes:
    """Without a verdict the reward is null, and the reason says how the verifier failed."""
    rows = [
        {
            "reward": outcome.verdict.reward if outcome.verdict else None,
            "reason": outcome.verdict.reason if outcome.verdict else outcome.failure,
            "parts": json.dumps(dict(outcome.verdict.parts) if outcome.verdict else {}, sort_keys=True),
        }
        for outcome in outcomes
    ]
    return _written(pa.Table.from_pylist(rows, schema=_VERDICTS))


def join_verdicts(chunks: Sequence[bytes]) -> pa.Table:
    """reward, reason and parts [rows], in the order of the chunks."""
    return pa.concat_tables(map(_read, chunks))


def with_verdicts(rows: pa.Table, verdicts: pa.Table) -> pa.Table:
    """The rows with these verdicts [rows] in the place of theirs."""
    for name in _VERDICTS.names:
        rows = _with(rows, name, verdicts[name])
    return rows


def _judged(version: DatasetVersion, rows: pa.Table) -> pa.Table:
    try:
        return rows.select(_JUDGED.names).cast(_JUDGED)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"The rows of {version} cannot be judged: {error}.",
            "prompts of messages with role and content, rewards that are numbers, and texts",
            "Import them again with --map.",
        ) from error


def _require_judgeable(version: DatasetVersion, judged: pa.Table) -> None:
    empty = [name for name in _JUDGED.names if judged[name].null_count]
    contents = [chunk.flatten().flatten()[1] for chunk in judged["prompt"].chunks]
    if any(content.null_count for content in contents):
        empty.append("content in prompt")
    if empty:
        raise DataError(
            f"{version} has rows without {', '.join(empty)}.",
            "a value in every row",
            "Leave those rows out and import the rest, or name a verifier for all of them.",
        )


def _with(rows: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    if name not in rows.column_names:
        return rows.append_column(name, column)
    return rows.set_column(rows.column_names.index(name), name, column)


def _written(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _read(chunk: bytes) -> pa.Table:
    return pa.ipc.open_stream(chunk).read_all()
