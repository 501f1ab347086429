"""Rows from a person's own SQL, over files of their machine: `select … from 'rows.jsonl'`."""

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from data_contracts.errors import DataError

_BEGINS = ("select ", "from ", "with ")
_READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})


def is_query(text: str) -> bool:
    """Whether a source is SQL, not a file of that name."""
    return text.lstrip().lower().startswith(_BEGINS)


def read_query(sql: str, base: Path) -> pa.Table:
    """All rows of one query; relative paths are read from `base`. Raises DataError.

    DuckDB reads the files here, so it also guesses the types of text in JSON and CSV.
    """
    with duckdb.connect(
        ":memory:",
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
    ) as db:
        try:
            db.execute("set file_search_path = $1", [os.fspath(base)])
            _require_reading(db, sql)
            rows = db.sql(sql).to_arrow_table()
        except (duckdb.Error, ValueError, AttributeError, RecursionError) as error:
            raise DataError(
                f"The query fails: {str(error).strip().splitlines()[0]}",
                "a query over files, such as: select * from 'rows.parquet' where score > 3",
                "Try it in DuckDB.",
            ) from error
    names = rows.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"The query gives {', '.join(twice)} more than once.",
            "a name of its own for each column",
            "Use `as`.",
        )
    return rows


def _require_reading(db: duckdb.DuckDBPyConnection, sql: str) -> None:
    """One query that only reads: a `with` may hide a COPY, which would write files."""
    if len(statements := db.extract_statements(sql)) != 1:
        raise DataError(
            f"The source has {len(statements)} statements.", "one query", "Join them with `with`."
        )
    serialized = db.execute("select json_serialize_sql($1)", [sql]).fetchall()[0][0]
    parsed = json.loads(serialized)
    if parsed["error"]:
        raise ValueError(parsed["error_message"])
    if others := sorted(_nodes(parsed) - _READING_NODES):
        raise DataError(
            f"The query does more than read: {others[0].removesuffix('_NODE').removesuffix('_QUERY').lower()}.",
            "select, from, with and what they join",
            "Write files with DuckDB itself, and import them.",
        )


def _nodes(parsed: Any) -> set[str]:
    """The kinds of all query nodes in DuckDB's serialized statement."""
    if isinstance(parsed, list):
        return set[str]().union(*map(_nodes, parsed))
    if not isinstance(parsed, dict):
        return set()
    kind = parsed.get("type")
    own = {kind} if isinstance(kind, str) and kind.endswith("_NODE") else set[str]()
    return own.union(*map(_nodes, parsed.values()))
