"""Rows from a person's own SQL, over files of their machine: `select … from 'rows.jsonl'`."""

import os
from pathlib import Path

import duckdb
import pyarrow as pa

from data_contracts.errors import DataError

_BEGINS = ("select ", "from ", "with ")


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
            if len(statements := db.extract_statements(sql)) != 1:
                raise DataError(
                    f"The source has {len(statements)} statements.", "one query", "Join them with `with`."
                )
            rows = db.sql(statements[0].query).to_arrow_table()
        except (duckdb.Error, ValueError, AttributeError) as error:
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
