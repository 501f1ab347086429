"""Bytes that are no UTF-8 become replacement characters (U+FFFD), which the checks then report row by row.

Parquet and Arrow files may hold any bytes where they promise text; DuckDB ends its whole session over one.
"""

import pyarrow as pa
import pyarrow.types as pt

from infra.intake.column_types import is_list, is_text


def mark_damaged_text(table: pa.Table) -> pa.Table:
    """The table with valid text, at any depth. The same object where all of it is valid already."""
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        columns = [pa.chunked_array([_checked(chunk) for chunk in c.chunks], c.type) for c in table.columns]
        return pa.table(dict(zip(table.column_names, columns, strict=True)), schema=table.schema)
    return table


def _checked(array: pa.Array) -> pa.Array:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return _marked(array)
    return array


def _marked(array: pa.Array) -> pa.Array:
    if is_text(array.type):
        return _decoded(array)
    if pt.is_struct(array.type):
        fields = [_marked(array.field(position)) for position in range(array.type.num_fields)]
        return pa.StructArray.from_arrays(fields, fields=list(array.type), mask=array.is_null())
    if is_list(array.type):
        return pa.array(_lists(array), array.type)
    return array


def _lists(array: pa.Array) -> list[object]:
    """Each list by itself: a null list may hide values behind it, which a flattened array would lose."""
    return [_marked(item.values).to_pylist() if item.is_valid else None for item in array]


def _decoded(array: pa.Array) -> pa.Array:
    values = array.dictionary_decode() if pt.is_dictionary(array.type) else array
    raw = values.cast(pa.large_string()).view(pa.large_binary()).to_pylist()
    text = [None if value is None else value.decode(errors="replace") for value in raw]
    return pa.array(text, pa.string()).cast(array.type)
