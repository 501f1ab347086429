"""Arrow columns in the types asked for, and whether bringing them there would lose something."""

from typing import Any

import duckdb
import pyarrow as pa

from infra.intake.fitting import LOSSES


def with_types(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of `schema`, cast; missing ones null. Raises pa.ArrowException where a value cannot be cast."""
    columns = [_column(table, field) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def loses_something(column: Any, asked: pa.DataType) -> bool:
    """Whether objects in a column hold more than the type asked for keeps, other than plain extra values."""
    return any(_loses(chunk, asked) for chunk in column.chunks)


def casts_exactly(found: pa.DataType, asked: pa.DataType) -> bool:
    """Whether Arrow's cast gives what the exact way gives, or fails."""
    if found == asked or pa.types.is_null(found):
        return True
    if pa.types.is_dictionary(found):
        return casts_exactly(found.value_type, asked)
    if pa.types.is_list(asked):
        return _is_plain_list(found) and casts_exactly(found.value_type, asked.value_type)
    if pa.types.is_struct(asked):
        return pa.types.is_struct(found) and all(
            casts_exactly(found.field(field.name).type, field.type)
            for field in asked
            if found.get_field_index(field.name) >= 0
        )
    return _casts_scalar(found, asked)


def _casts_scalar(found: pa.DataType, asked: pa.DataType) -> bool:
    if pa.types.is_string(asked):
        return pa.types.is_large_string(found) or pa.types.is_string_view(found)
    if pa.types.is_integer(found):
        return pa.types.is_integer(asked) or asked == pa.float64()
    return pa.types.is_floating(found) and asked == pa.float64()


def normalised(found: pa.DataType) -> pa.DataType | None:
    """The plain type for a column of a file, None where only JSON text can hold it."""
    if isinstance(found, pa.BaseExtensionType):
        return normalised(found.storage_type)
    if pa.types.is_dictionary(found) or pa.types.is_run_end_encoded(found):
        return normalised(found.value_type)
    if _is_any_list(found):
        inner = normalised(found.value_type)
        return None if inner is None else pa.list_(inner)
    if pa.types.is_struct(found):
        members = {field.name: normalised(field.type) for field in found}
        is_odd = None in members.values() or len(members) != found.num_fields or not members
        return None if is_odd else pa.struct(list(members.items()))
    return _normalised_scalar(found)


def _normalised_scalar(found: pa.DataType) -> pa.DataType | None:
    if pa.types.is_large_string(found) or pa.types.is_string_view(found):
        return pa.string()
    if pa.types.is_large_binary(found) or pa.types.is_binary_view(found):
        return pa.binary()
    is_odd = pa.types.is_nested(found) or pa.types.is_duration(found) or pa.types.is_interval(found)
    return None if is_odd else found


def as_bytes(table: pa.Table) -> pa.Table:
    """The same with bytes for text, so that what is no UTF-8 can be looked at."""
    return table.cast(pa.schema([field.with_type(_with_bytes(field.type)) for field in table.schema]))


def _with_bytes(found: pa.DataType) -> pa.DataType:
    if pa.types.is_string(found):
        return pa.binary()
    if pa.types.is_large_string(found):
        return pa.large_binary()
    if pa.types.is_list(found):
        return pa.list_(found.value_field.with_type(_with_bytes(found.value_type)))
    if pa.types.is_large_list(found):
        return pa.large_list(found.value_field.with_type(_with_bytes(found.value_type)))
    if pa.types.is_struct(found):
        return pa.struct([field.with_type(_with_bytes(field.type)) for field in found])
    return found


def _column(table: pa.Table, field: pa.Field) -> Any:
    index = table.schema.get_field_index(field.name)
    if index < 0:
        return pa.chunked_array([pa.nulls(table.num_rows, field.type)])
    column = table.column(index)
    return column if column.type == field.type else column.cast(field.type)


def _loses(array: Any, asked: pa.DataType) -> bool:
    if array.type == asked:
        return False
    if _is_any_list(array.type):
        return not pa.types.is_list(asked) or _loses(array.flatten(), asked.value_type)
    if not pa.types.is_struct(array.type):
        return False
    if not pa.types.is_struct(asked):
        return True
    for index, field in enumerate(array.type):
        kept = asked.get_field_index(field.name)
        member = array.field(index)
        if _loses(member, asked.field(kept).type) if kept >= 0 else _may_hold(member, field.name):
            return True
    return False


def _may_hold(member: Any, name: str) -> bool:
    """Whether a member that is not kept has a value that would be missed; certain only when it says no."""
    if member.null_count == len(member):
        return False
    if _is_any_list(member.type):
        return len(member.flatten()) > 0
    return pa.types.is_nested(member.type) or name in LOSSES


def _is_any_list(found: pa.DataType) -> bool:
    return _is_plain_list(found) or pa.types.is_list_view(found) or pa.types.is_large_list_view(found)


def _is_plain_list(found: pa.DataType) -> bool:
    """Not the list views: Arrow 25 casts a slice of one to other rows."""
    return pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found)


def rows_as_json(rows: pa.Table) -> list[str]:
    """Every row as one JSON object."""
    with duckdb.connect(":memory:") as db:
        db.register("raw", rows)
        return [text for (text,) in db.execute("select to_json(raw)::varchar from raw").fetchall()]
