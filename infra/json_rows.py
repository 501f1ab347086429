"""JSON objects as columns, text left as text.

DuckDB's own JSON reader guesses types: it makes a time of the ground truth "1:2:3", and of "03-04-2020" the
date 2020-04-03. Here only JSON's own types count.
"""

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from data_contracts.errors import DataError

_STRUCTURE = "select json_group_structure(json) from read_json_objects($path, format = $format)"
_ROWS = "select unnest(from_json(json, $structure)) from read_json_objects($path, format = $format)"


def read_json_rows(db: duckdb.DuckDBPyConnection, path: Path, format_name: str) -> pa.Table:
    """All objects of a file in one of DuckDB's JSON formats. Raises DataError when it holds none."""
    file = {"path": str(path), "format": format_name}
    ((found,),) = db.execute(_STRUCTURE, file).fetchall()
    structure: Any = json.loads(found or "null")
    if not isinstance(structure, dict) or not structure:
        raise DataError(
            f"{path} holds no JSON objects with fields.", "one object per row, with the row's fields"
        )
    structure = _text_where_mixed(structure)
    if "arguments" in structure:
        structure["arguments"] = "VARCHAR"  # as JSON text: a struct would give each row the keys of all
    return db.sql(_ROWS, params={**file, "structure": json.dumps(structure)}).to_arrow_table()


def first_bad_line(path: Path) -> str | None:
    """The first line that is no JSON, by number from 1, and why: DuckDB's own count is one too high."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                json.loads(line.rstrip())
            except json.JSONDecodeError as error:
                return f"line {number}, column {error.colno}: {error.msg}"
            except UnicodeDecodeError as error:
                return f"line {number} is no text in UTF-8: {error.reason}"
    return None


def _text_where_mixed(structure: Any) -> Any:
    if isinstance(structure, dict):
        return {name: _text_where_mixed(inner) for name, inner in structure.items()}
    if isinstance(structure, list):
        return [_text_where_mixed(inner) for inner in structure]
    return "VARCHAR" if structure in ("JSON", "NULL") else structure
