"""Which columns a source has, from its beginning: the files' own types, or JSON's.

What no single type holds becomes text, with lists and objects as JSON text.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from data_contracts.errors import DataError
from infra.intake.arrow_columns import normalised
from infra.intake.batches import JSON_TEXT, SourceFile
from infra.intake.csv_files import csv_columns
from infra.intake.json_files import first_json_objects
from infra.intake.json_lines import first_objects
from infra.intake.json_types import MixedTypesError, has_empty_object, merged, settled, type_of
from infra.intake.streams import open_stream
from infra.intake.tables import table_schema

_FILES_LOOKED_AT = 3
_ROWS_LOOKED_AT = 1000
_MOST_ODD = 0.5
"""Share of values of other types from which on all of a column are taken as JSON text."""

_JSON_TEXT_COLUMNS = frozenset({"arguments", "kwargs"})

Columns = dict[str, pa.DataType | None]
"""Column types, None for JSON text."""


def sniff_schema(files: Sequence[SourceFile]) -> pa.Schema:
    """The raw columns of the first three files, by their first 1,000 rows.

    Fields with the metadata `JSON_TEXT` hold lists and objects as JSON text. Raises DataError for a file
    without a single row, or one that cannot be read.
    """
    columns: Columns = {}
    for file in files[:_FILES_LOOKED_AT]:
        for name, found in _columns(file).items():
            columns[name] = _merged(columns[name], found) if name in columns else found
    return pa.schema([_field(name, found) for name, found in columns.items()])


def _columns(file: SourceFile) -> Columns:
    if file.format in ("parquet", "arrow"):
        return {field.name: normalised(field.type) for field in table_schema(file)}
    if file.format == "csv":
        return dict.fromkeys(csv_columns(file), pa.string())
    first = first_objects if file.format == "jsonl" else first_json_objects
    rows = list(first(file, _ROWS_LOOKED_AT))
    if not any(rows):
        raise DataError(
            f"{file.path} holds no JSON object with a key: {_beginning(file)}",
            "one object per row, such as " + '{"prompt": "…", "completion": "…"}',
            "Check the file, or the program that writes it.",
        )
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _json_column(row.get(name) for row in rows) for name in names}


def _json_column(values: Iterable[Any]) -> pa.DataType | None:
    """The type of a column, if need be that of most of its values: the others are then reported row by row."""
    counts: Counter[pa.DataType] = Counter()
    num_odd = 0
    for value in values:
        try:
            counts[type_of(value)] += 1
        except MixedTypesError:
            num_odd += 1
    del counts[pa.null()]
    total = counts.total() + num_odd
    found = pa.null()
    for kind, count in counts.most_common():
        try:
            found = merged(found, kind)
        except MixedTypesError:
            num_odd += count
    return None if num_odd and num_odd >= _MOST_ODD * total else found


def _merged(one: pa.DataType | None, other: pa.DataType | None) -> pa.DataType | None:
    if one is None or other is None:
        return None
    try:
        return merged(one, other)
    except MixedTypesError:
        return None


def _field(name: str, found: pa.DataType | None) -> pa.Field:
    if found is None or name in _JSON_TEXT_COLUMNS or has_empty_object(found):
        return pa.field(name, pa.string(), metadata=JSON_TEXT)
    return pa.field(name, settled(found))


def _beginning(file: SourceFile) -> str:
    with open_stream(file) as stream:
        lines = [line.strip() for line in islice(stream, 20)]
    shown = next((line for line in lines if line), b"")[:80]
    return f"it begins with {shown.decode('utf-8', 'backslashreplace')}" if shown else "it is blank."
