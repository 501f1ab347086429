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


def read_json_rows(db: duckdb.DuckDBPyConnection, reader: str, path: Path) -> pa.Table:
    """Rows of the file that `reader`, a call of `read_json_objects`, yields. Raises DataError for no objects."""
    found = db.execute(f"select json_group_structure(json) from {reader}", {"path": str(path)}).fetchall()
    structure: Any = json.loads(found[0][0] or "null")
    if not isinstance(structure, dict) or not structure:
        raise DataError(
            f"{path} holds no JSON objects with fields.", "one object per row, with the row's fields"
        )
    structure = _text_where_mixed(structure)
    if "arguments" in structure:
        structure["arguments"] = "VARCHAR"  # as JSON text: a struct would give each row the keys of all
    query = f"select unnest(from_json(json, $structure)) from {reader}"
    return db.sql(query, params={"path": str(path), "structure": json.dumps(structure)}).to_arrow_table()


def _text_where_mixed(structure: Any) -> Any:
    if isinstance(structure, dict):
        return {name: _text_where_mixed(inner) for name, inner in structure.items()}
    if isinstance(structure, list):
        return [_text_where_mixed(inner) for inner in structure]
    return "VARCHAR" if structure in ("JSON", "NULL") else structure
