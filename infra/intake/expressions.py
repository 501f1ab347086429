"""Expressions that a person writes for a column: exactly one, over one row, and unable to leave the row.

DuckDB's own parser reads them, never a pattern of ours. `try(…)` around an expression makes the binder refuse
what is not a value of one row: aggregates, windows, unnest, subqueries (so no file either), random functions.
"""

import json
from typing import Any

import duckdb

from data_contracts.errors import DataError

_MAX_CHARACTERS = 4000
_BOUNDLESS = frozenset(
    {
        *("repeat", "range", "generate_series", "lpad", "rpad", "printf", "format", "bar"),
        *("list_resize", "array_resize", "list_reduce", "array_reduce", "reduce"),
        *(
            "bitstring",
            "current_setting",
            "getvariable",
            "now",
            "today",
            "current_date",
            "current_time",
            "current_timestamp",
            "columns",
            "version",
        ),
    }
)
"""Functions that make values of any size from nothing (DuckDB's memory limit does not count them, so the process
would be killed), and those that read the clock, the session or several columns instead of the row's values."""


def open_sandbox() -> duckdb.DuckDBPyConnection:
    """An empty database in memory that reads no files, no network, no extensions and no Python variables."""
    db = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
        },
    )
    db.execute("set enable_external_access = false")
    db.execute("set lock_configuration = true")
    return db


def identifiers_of(column: str, expression: str) -> frozenset[str]:
    """The names an expression refers to, in small letters. Raises DataError unless it is one expression."""
    if len(expression) > _MAX_CHARACTERS:
        raise bad_expression(column, expression[:60] + "…", f"has {len(expression):,} characters")
    try:
        expression.encode()
        duckdb.SQLExpression(expression)
        with open_sandbox() as db:
            parsed = db.execute("select json_serialize_sql($1)", [f"select (\n{expression}\n)"]).fetchall()
    except (duckdb.Error, UnicodeError) as error:
        raise bad_expression(column, expression, first_line(error)) from error
    names: set[str] = set()
    functions: set[str] = set()
    try:
        _collect(json.loads(parsed[0][0]), names, functions)
    except RecursionError as error:
        raise bad_expression(column, expression, "is nested too deeply") from error
    if refused := sorted(functions & _BOUNDLESS):
        raise bad_expression(column, expression, f"calls {', '.join(refused)}")
    return frozenset(names)


def bad_expression(column: str, expression: str, why: str) -> DataError:
    """The error for an expression that cannot stand for a column."""
    return DataError(
        f"The expression for {column} cannot be used: {expression!r}: {why}.",
        "one DuckDB expression over one row's columns, such as trim(question), without subqueries or aggregates",
        f"Correct it: --map {column}=EXPRESSION. Columns with unusual names stand in double quotes.",
    )


def first_line(error: Exception) -> str:
    """The first line of DuckDB's message, without its last full stop."""
    return str(error).strip().splitlines()[0].rstrip(".")


def _collect(node: Any, names: set[str], functions: set[str]) -> None:
    if isinstance(node, list):
        for inner in node:
            _collect(inner, names, functions)
    elif isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            names.update(name.lower() for name in node["column_names"])
        if node.get("class") == "STAR":
            functions.add("columns")
        if node.get("class") == "FUNCTION":
            functions.add(node["function_name"].lower())
        for inner in node.values():
            _collect(inner, names, functions)
