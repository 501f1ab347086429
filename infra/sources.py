"""Read a user's rows with DuckDB and bring them to the columns of their row kind.

Files are read as they are (JSONL, JSON, Parquet, CSV); SQL may select from them. A row without what its kind
needs is reported by file, row number and field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from data_contracts.errors import DataError
from data_contracts.rows import REQUIRED_COLUMNS, RowKind, recognise_kind
from infra.json_rows import first_bad_line, read_json_rows

_JSON = {".jsonl": "newline_delimited", ".ndjson": "newline_delimited", ".json": "auto"}
_READERS = {".parquet": "read_parquet($path)", ".csv": "read_csv($path, all_varchar = true)"}
_MESSAGES = "struct(role varchar, content varchar)[]"
_SHOWN_ROWS = 5
_NEEDED = {
    RowKind.sft: ("messages",),
    RowKind.pairs: ("prompt", "chosen", "rejected"),
    RowKind.problems: ("prompt", "ground_truth", "verifier"),
}
_TEXTS = ("prompt", "completion", "chosen", "rejected", "ground_truth")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What problem rows get where their file is silent."""

    source: str
    verifier: str | None
    arguments: str


def read_file(path: Path) -> pa.Table:
    """All rows and columns of a data file. Raises DataError for a file that is missing or not what it says."""
    suffix = path.suffix.lower()
    if suffix not in _JSON and suffix not in _READERS:
        raise DataError(
            f"{path} has the suffix {path.suffix or '(none)'!r}.",
            f"one of {', '.join([*_JSON, *_READERS])}",
            "Convert the file, or rename it to what it is.",
        )
    if not path.is_file():
        raise DataError(
            f"{path} does not exist." if not path.exists() else f"{path} is not a file.",
            "a data file",
            "Correct the path in the recipe (relative to its folder), or give it: --set DATASET.path=FILE.",
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty.", "at least one row", "Check the program that writes it.")
    with _database() as db:
        try:
            if suffix in _JSON:
                return read_json_rows(db, path, _JSON[suffix])
            return db.sql(f"from {_READERS[suffix]}", params={"path": str(path)}).to_arrow_table()
        except duckdb.Error as error:
            where = first_bad_line(path) if _JSON.get(suffix) == "newline_delimited" else None
            raise DataError(
                f"{path} cannot be read as {path.suffix}: {where or _first_line(error)}",
                f"what its suffix promises ({path.suffix}), text in UTF-8 without a byte order mark",
                "JSONL has one JSON object per line." if suffix == ".jsonl" else "Check the file.",
            ) from error


def select_rows(sql: str, tables: Mapping[str, pa.Table], origin: str) -> pa.Table:
    """Run a recipe's SQL over its datasets, with no access to files or network.

    Several statements may stand there (macros, tables); the rows are the last one's.
    """
    with _database() as db:
        for name, table in tables.items():
            db.register(name, table)
        db.execute("set enable_external_access = false")
        try:
            *before, last = db.extract_statements(sql)
            for statement in before:
                db.execute(statement)
            return db.sql(last.query).to_arrow_table()
        except (duckdb.Error, ValueError, AttributeError) as error:
            raise DataError(
                f"The sql of {origin} fails: {_first_line(error)}",
                f"a query over {', '.join(tables)}",
                "Try it in DuckDB; the tables have the columns of their files.",
            ) from error


def normalise(
    rows: pa.Table, kind: RowKind | None, origin: str, defaults: Defaults
) -> tuple[RowKind, pa.Table]:
    """Bring rows to the columns of their kind, recognised from the column names unless given.

    Raises DataError naming up to five bad rows by number (from 1) and field.
    """
    found = kind or recognise_kind(rows.column_names)
    if found is None:
        raise DataError(
            f"{origin} has the columns {', '.join(rows.column_names)}.",
            "; or ".join(f"{' + '.join(c)} ({k})" for k, cs in REQUIRED_COLUMNS.items() for c in cs),
            "Rename the columns, or select them with sql.",
        )
    if found in (RowKind.raw, RowKind.rollouts):
        return found, rows
    _require_columns(rows, found, origin)
    query = _query(rows, found)
    with _database() as db:
        db.register("source", rows)
        try:
            table = db.sql(query, params=_parameters(query, defaults)).to_arrow_table()
        except duckdb.Error as error:
            raise DataError(
                f"{origin}: a column has another type than its kind needs: {_first_line(error)}",
                "text, or lists of {role, content} messages",
                "Check the types of the file's columns.",
            ) from error
        db.register("normalised", table)
        _require_values(db, {"source": rows, "normalised": table}, found, origin)
    return found, table


def _require_columns(rows: pa.Table, kind: RowKind, origin: str) -> None:
    present = set(rows.column_names)
    alternatives = REQUIRED_COLUMNS[kind]
    if not any(present.issuperset(columns) for columns in alternatives):
        raise DataError(
            f"{origin} has the columns {', '.join(rows.column_names)}.",
            " or ".join(" + ".join(columns) for columns in alternatives) + f", to be read as {kind}",
            "Rename the columns, select them with sql, or change kind.",
        )
    for name in present.intersection(_TEXTS):
        if pa.types.is_struct(rows.schema.field(name).type) or pa.types.is_map(rows.schema.field(name).type):
            raise DataError(
                f"{origin}: the column {name} holds objects.",
                "text, or a list of {role, content} messages",
                "Select what is meant with sql, such as prompt.text as prompt.",
            )


def _query(rows: pa.Table, kind: RowKind) -> str:
    present = set(rows.column_names)
    if kind is RowKind.sft:
        if "messages" in present:
            return f"select messages::{_MESSAGES} as messages, {_source(present)} from source"
        joined = (
            f"list_concat({_as_messages(rows, 'prompt')}, {_as_messages(rows, 'completion', 'assistant')})"
        )
        checked = f"case when prompt is null or completion is null then null else {joined} end"
        return f"select {checked} as messages, {_source(present)} from source"
    prompt = f"{_as_messages(rows, 'prompt')} as prompt"
    if kind is RowKind.pairs:
        sides = ", ".join(f"{_last_text(rows, side)} as {side}" for side in ("chosen", "rejected"))
        return f"select {prompt}, {sides}, {_source(present)} from source"
    verifier = "coalesce(verifier::varchar, $verifier)" if "verifier" in present else "$verifier::varchar"
    arguments = (
        "coalesce(to_json(arguments)::varchar, $arguments)" if "arguments" in present else "$arguments"
    )
    if "arguments" in present and pa.types.is_string(rows.schema.field("arguments").type):
        arguments = "coalesce(arguments, $arguments)"
    identity = "problem_id::varchar" if "problem_id" in present else "null"
    inner = (
        f"select {identity} as given_id, {prompt}, ground_truth::varchar as ground_truth,"
        f" {verifier} as verifier, {arguments} as arguments, {_source(present)} from source"
    )
    return (
        "select coalesce(given_id, sha256(to_json(struct_pack(prompt, ground_truth, verifier))::varchar)[1:16])"
        " as problem_id, * exclude (given_id) from (" + inner + ")"
    )


def _source(present: set[str]) -> str:
    return "coalesce(source::varchar, $source) as source" if "source" in present else "$source as source"


def _parameters(query: str, defaults: Defaults) -> dict[str, str | None]:
    known = {"source": defaults.source, "verifier": defaults.verifier, "arguments": defaults.arguments}
    return {name: value for name, value in known.items() if f"${name}" in query}


def _as_messages(rows: pa.Table, column: str, role: str = "user") -> str:
    if pa.types.is_list(rows.schema.field(column).type):
        return f"{column}::{_MESSAGES}"
    return f"case when {column} is null then null else [{{role: '{role}', content: {column}::varchar}}] end"


def _last_text(rows: pa.Table, column: str) -> str:
    if pa.types.is_list(rows.schema.field(column).type):
        return f"({column}::{_MESSAGES})[-1].content"
    return f"{column}::varchar"


def _require_values(
    db: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table], kind: RowKind, origin: str
) -> None:
    """Every needed field of every row, in the user's own columns where those were only wrapped."""
    fields = _NEEDED[kind]
    relation = "normalised"
    if kind is RowKind.sft and "messages" not in tables["source"].column_names:
        fields, relation = ("prompt", "completion"), "source"
    reasons = {field: _reason(tables[relation], field) for field in fields}
    bad = " union all ".join(
        f"select row, '{field}' as field, {reason} as reason from numbered where reason is not null"
        for field, reason in reasons.items()
    )
    query = f"with numbered as (select row_number() over () as row, * from {relation}) {bad} order by row"
    found = db.execute(query).fetchall()
    if found:
        shown = "; ".join(f"row {row}: {field} {reason}" for row, field, reason in found[:_SHOWN_ROWS])
        more = f" and {len(found) - _SHOWN_ROWS} more" if len(found) > _SHOWN_ROWS else ""
        hint = " Problems need a verifier: name one per row or in the recipe." if kind == "problems" else ""
        raise DataError(
            f"{origin}: {len(found)} bad field(s): {shown}{more}.",
            f"{', '.join(fields)} in every row",
            f"Complete or remove these rows.{hint}",
        )


def _reason(table: pa.Table, field: str) -> str:
    """SQL that says what is wrong with a field, or null."""
    if not pa.types.is_list(table.schema.field(field).type):
        return f"case when {field} is null then 'is missing' when trim({field}::varchar) = '' then 'is empty' end"
    roles = "coalesce(m.role, '') not in ('system', 'user', 'assistant')"
    texts = "m.content is null or trim(m.content) = ''"
    conversation = ""
    if field == "messages":
        conversation = (
            f" when len({field}) < 2 then 'has fewer than two turns'"
            f" when {field}[-1].role <> 'assistant' then 'does not end with the assistant'"
        )
    return (
        f"case when {field} is null or len({field}) = 0 then 'is missing'"
        f" when list_bool_or(list_transform({field}, lambda m: {roles}))"
        " then 'has a role other than system, user, assistant'"
        f" when list_bool_or(list_transform({field}, lambda m: {texts})) then 'has a turn without text'"
        f"{conversation} end"
    )


def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        ":memory:",
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
