"""A recipe's source, all of it or nothing: every row keeps its contract, or the first bad ones are named.

A recipe states what it trains on, so it leaves no row out by itself. `burnish data import` does, and says which.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa

from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from infra.intake.batches import RawBatch
from infra.intake.checks import check_rows
from infra.intake.expressions import first_line, open_sandbox
from infra.intake.files import find_files
from infra.intake.mapping import Defaults, apply_mapping
from infra.intake.reading import read_batches
from infra.intake.schedule_checks import schedule_findings
from infra.intake.shapes import Mapping as Shape
from infra.intake.shapes import needed_schema, recognise, unknown_shape
from infra.intake.sniffing import sniff_schema

_SHOWN_ROWS = 5
_VERIFIER_HINT = " Problems need a verifier: name one per row or in the recipe."


def read_file(path: Path, kind: RowKind | None = None) -> pa.Table:
    """All rows of a data file, with the columns that its kind needs, or all columns of raw rows.

    Raises DataError for a file or a row that cannot be read.
    """
    files = find_files(str(path), Path())
    schema = sniff_schema(files)
    shape = recognise(schema, kind)
    asked = needed_schema(schema, shape) if shape is not None else schema
    batches = [asked.empty_table()]
    for batch in read_batches(files, asked):
        _require_readable(path, batch)
        batches.append(batch.rows)
    return pa.concat_tables(batches)


def select_rows(sql: str, tables: Mapping[str, pa.Table], origin: str) -> pa.Table:
    """Run a recipe's SQL over its datasets, with no access to files or network.

    Several statements may stand there (macros, tables); the rows are the last one's.
    """
    with open_sandbox() as db:
        for name, table in tables.items():
            db.register(name, table)
        try:
            *before, last = db.extract_statements(sql)
            for statement in before:
                db.execute(statement)
            return db.sql(last.query).to_arrow_table()
        except (duckdb.Error, ValueError, AttributeError) as error:
            raise DataError(
                f"The sql of {origin} fails: {first_line(error)}",
                f"a query over {', '.join(tables)}",
                "Try it in DuckDB; the tables have the columns of their files.",
            ) from error


def normalise(
    rows: pa.Table, kind: RowKind | None, origin: str, defaults: Defaults
) -> tuple[RowKind, pa.Table]:
    """Bring rows to the columns of their kind, recognised from the columns unless given.

    Raises DataError naming up to five bad rows by number (from 1) and reason.
    """
    shape = recognise(rows.schema, kind)
    if shape is None:
        error = unknown_shape(rows.schema, kind)
        raise DataError(f"{origin}: {error.found}", error.expected, error.do)
    shape = with_verifier(shape, defaults.verifier)
    table = apply_mapping(shape, rows, defaults)
    _require_contract(shape.kind, table, origin)
    return shape.kind, table


def with_verifier(shape: Shape, verifier: str | None) -> Shape:
    """A shape whose own verifier gives way to the one a person asked for; a file's column does not."""
    named = shape.columns.get("verifier", "")
    if verifier is None or not named.startswith("'"):
        return shape
    literal = "'" + verifier.replace("'", "''") + "'"
    return replace(shape, columns={**shape.columns, "verifier": literal})


def _require_readable(path: Path, batch: RawBatch) -> None:
    if batch.unreadable:
        first = batch.unreadable[0]
        raise DataError(
            f"{path}, line {first.line}: {first.reason}: {first.text[:120]}",
            "rows that can be read",
            f"Correct the file, or import it (burnish data import NAME {path}) and use version: NAME@1.",
        )


def _require_contract(kind: RowKind, table: pa.Table, origin: str) -> None:
    reasons = check_rows(kind, table)
    bad = _numbered(reasons)
    if kind is RowKind.problems and not bad:
        bad = _numbered(schedule_findings(table).errors)
    if bad:
        shown = "; ".join(f"row {row}: {reason}" for row, reason in islice(bad, _SHOWN_ROWS))
        more = f" and {len(bad) - _SHOWN_ROWS} more" if len(bad) > _SHOWN_ROWS else ""
        raise DataError(
            f"{origin}: {len(bad)} bad row(s): {shown}{more}.",
            f"{kind} rows that keep their contract",
            "Correct or remove these rows, or import the file with `burnish data import`, which sets them aside."
            + (_VERIFIER_HINT if any("verifier is missing" in reason for _, reason in bad) else ""),
        )


def _numbered(reasons: Iterable[pa.StringScalar]) -> list[tuple[int, str]]:
    return [(row, reason.as_py()) for row, reason in enumerate(reasons, 1) if reason.is_valid]
