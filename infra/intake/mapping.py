"""Apply a mapping to Arrow tables, batch after batch: every input row gives exactly one row, in its place.

A value that an expression cannot make is null, for the checks to report; it never fails its batch. Columns that
are only renamed stay in Arrow; the others are computed in a DuckDB that reaches nothing but the batch.
"""

from dataclasses import dataclass
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from infra.intake.column_types import MESSAGES, MESSAGES_SQL, has_text, has_turns, quoted
from infra.intake.damaged_text import mark_damaged_text
from infra.intake.expressions import bad_expression, first_line, open_sandbox
from infra.intake.shapes import Mapping

_CONTRACT_COLUMNS: dict[RowKind, dict[str, pa.DataType]] = {
    RowKind.sft: {"messages": MESSAGES, "source": pa.string()},
    RowKind.pairs: {
        "prompt": MESSAGES,
        "chosen": pa.string(),
        "rejected": pa.string(),
        "source": pa.string(),
    },
    RowKind.problems: {
        "problem_id": pa.string(),
        "prompt": MESSAGES,
        "ground_truth": pa.string(),
        "verifier": pa.string(),
        "arguments": pa.string(),
        "source": pa.string(),
    },
}
_NESTED = ("struct", "list", "array", "map", "union", "variant")
_IDENTITY = "sha256(to_json(struct_pack(prompt, ground_truth, verifier))::varchar)[1:16] as problem_id"
_MESSAGES_TYPE = 'STRUCT("role" VARCHAR, "content" VARCHAR)[]'


@dataclass(frozen=True, slots=True)
class Defaults:
    """What rows get where their file is silent."""

    source: str
    verifier: str | None = None
    arguments: str = "{}"


class Mapper:
    """One mapping bound to one schema. Use it from one thread at a time; closing it frees its database."""

    def __init__(self, mapping: Mapping, schema: pa.Schema, defaults: Defaults) -> None:
        """Raises DataError naming the column and the expression that this schema cannot serve."""
        self._mapping = mapping
        self._needs = list(mapping.needs) or schema.names[:1]
        self._fixed = _CONTRACT_COLUMNS.get(mapping.kind, {})
        self._defaults = {
            "source": defaults.source,
            "verifier": defaults.verifier,
            "arguments": defaults.arguments,
        }
        self._direct = {
            column: name
            for column, expression in mapping.columns.items()
            for name in schema.names
            if expression == quoted(name) and self._is_direct(schema, name, column)
        }
        self._db = open_sandbox()
        empty = schema.empty_table().select(self._needs)
        self._computed = [
            f"{self._bound(empty, column, expression)} as {quoted(column)}"
            for column, expression in mapping.columns.items()
            if column not in self._direct and self._fixed
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def apply(self, table: pa.Table) -> pa.Table:
        """The rows of `table` as rows of the mapping's kind: its contract's columns first, then the extras."""
        if not self._fixed:
            return table
        given = mark_damaged_text(table.select(self._needs))
        columns = self._compute(given)
        for column, name in self._direct.items():
            columns[column] = given[name].cast(self._fixed.get(column, pa.string()))
        for column, kind in self._fixed.items():
            if column not in columns:
                columns[column] = pa.chunked_array([pa.nulls(given.num_rows, kind)])
            if (default := self._defaults.get(column)) is not None:
                columns[column] = pc.fill_null(columns[column], default)
        if "problem_id" in self._fixed and columns["problem_id"].null_count:
            columns["problem_id"] = pc.coalesce(columns["problem_id"], self._identities(columns))  # pyright: ignore[reportAttributeAccessIssue]
        return pa.table({name: columns[name] for name in [*self._fixed, *columns]})

    def _is_direct(self, schema: pa.Schema, name: str, column: str) -> bool:
        if self._fixed.get(column) == MESSAGES:
            return has_turns(schema, name)
        return has_text(schema, name)

    def _bound(self, empty: pa.Table, column: str, expression: str) -> str:
        """The expression as SQL that gives this column's type, and null for a row where it fails."""
        value = f"try(\n{expression}\n)"
        try:
            (found,) = self._db.from_arrow(empty).project(value).types
            typed = self._typed(column, value, found)
            if typed is None:
                wanted = (
                    "turns of role and content" if column in ("messages", "prompt") else "text or a number"
                )
                raise bad_expression(column, expression, f"gives {str(found)[:80]}, where {wanted} is needed")
            self._db.from_arrow(empty).project(f"{typed} as value").fetchall()
        except (duckdb.Error, ValueError) as error:
            raise bad_expression(column, expression, first_line(error)) from error
        return typed

    def _typed(self, column: str, value: str, found: Any) -> str | None:
        """SQL that brings a value of DuckDB's type `found` to the column's; None where that makes no sense."""
        if self._fixed.get(column) == MESSAGES:
            return _as_messages(column, value, found)
        if column == "arguments" and found.id != "varchar":
            return f"to_json({value})::varchar"
        if found.id in _NESTED:
            return None
        return f"try_cast({value} as varchar)" if column in self._fixed else value

    def _compute(self, given: pa.Table) -> dict[str, Any]:
        if not self._computed:
            return {}
        try:
            made = self._db.from_arrow(given).project(", ".join(self._computed)).to_arrow_table()
        except duckdb.Error as error:
            raise DataError(
                f"The mapping ({self._mapping.shape}) fails on the rows: {first_line(error)}.",
                "expressions that can be computed for every row",
                "Correct the expressions: --map COLUMN=EXPRESSION.",
            ) from error
        if made.num_rows != given.num_rows:
            raise DataError(
                f"The mapping makes {made.num_rows:,} rows of {given.num_rows:,}.", "one row for each row"
            )
        return {name: _as_type(made[name], self._fixed.get(name)) for name in made.column_names}

    def _identities(self, columns: dict[str, Any]) -> pa.ChunkedArray:
        hashed = pa.table({name: columns[name] for name in ("prompt", "ground_truth", "verifier")})
        return self._db.from_arrow(hashed).project(_IDENTITY).to_arrow_table()["problem_id"]


def apply_mapping(mapping: Mapping, table: pa.Table, defaults: Defaults) -> pa.Table:
    """One table through a mapping; a `Mapper` does the same for many batches of one schema."""
    with Mapper(mapping, table.schema, defaults) as mapper:
        return mapper.apply(table)


def _as_type(column: pa.ChunkedArray, wanted: pa.DataType | None) -> pa.ChunkedArray:
    return column if wanted is None or column.type == wanted else column.cast(wanted)


def _as_messages(column: str, value: str, found: Any) -> str | None:
    if found.id == "list":
        return value if str(found) == _MESSAGES_TYPE else f"try_cast({value} as {MESSAGES_SQL})"
    if column == "messages" or found.id in _NESTED:
        return None
    return f"if({value} is null, null, [{{'role': 'user', 'content': {value}::varchar}}])"
