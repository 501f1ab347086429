"""What a file's Arrow columns hold, and the small SQL pieces that shapes are written with."""

import pyarrow as pa
import pyarrow.types as pt

MESSAGES_SQL = "struct(role varchar, content varchar)[]"
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def has_text(schema: pa.Schema, *names: str) -> bool:
    """Whether all these columns are there and hold text."""
    return all(name in schema.names and is_text(schema.field(name).type) for name in names)


def has_turns(schema: pa.Schema, name: str, role: str = "role", content: str = "content") -> bool:
    """Whether a column holds lists of turns with these two text fields, others beside them or not."""
    if name not in schema.names or not is_list(column := schema.field(name).type):
        return False
    turn = column.value_type
    return pt.is_struct(turn) and all(
        turn.get_field_index(key) >= 0 and is_text(turn.field(key).type) for key in (role, content)
    )


def is_text(column: pa.DataType) -> bool:
    """Text in any of Arrow's layouts."""
    if pt.is_dictionary(column):
        return is_text(column.value_type)
    return pt.is_string(column) or pt.is_large_string(column) or pt.is_string_view(column)


def is_list(column: pa.DataType) -> bool:
    """A list in any of Arrow's layouts."""
    return (
        pt.is_list(column)
        or pt.is_large_list(column)
        or pt.is_fixed_size_list(column)
        or pt.is_list_view(column)
        or pt.is_large_list_view(column)
    )


def is_scalar(column: pa.DataType) -> bool:
    """One value a row: text, a number, a truth value, a time."""
    return is_text(column) or pt.is_primitive(column) or pt.is_decimal(column)


def holds_json(field: pa.Field) -> bool:
    """Whether a reader kept this text column as JSON because its objects differ from row to row."""
    return is_text(field.type) and (field.metadata or {}).get(b"json") == b"text"


def turn(role: str, content: str) -> str:
    """One turn as SQL."""
    return f"{{'role': '{role}', 'content': {content}}}"


def as_messages(schema: pa.Schema, name: str, role: str) -> str | None:
    """A column of text or of turns as a list of messages; None where it is neither."""
    if has_text(schema, name):
        return f"[{turn(role, quoted(name))}]"
    return f"{quoted(name)}::{MESSAGES_SQL}" if has_turns(schema, name) else None


def json_of(expression: str, column: pa.DataType, depth: int = 0) -> str:
    """SQL for a value as JSON without the keys that are null.

    Arrow gives every row the keys of all rows; those a row did not have are null, and would reach its verifier.
    """
    if pt.is_struct(column):
        pairs = ", ".join(
            f"{_literal(field.name)}, {json_of(f'{expression}.{quoted(field.name)}', field.type, depth)}"
            for field in column
        )
        return f"if({expression} is null, null, json_merge_patch('{{}}', json_object({pairs})))"
    if is_list(column) and not is_scalar(column.value_type):
        item = f"item{depth}"
        inner = json_of(item, column.value_type, depth + 1)
        return f"to_json(list_transform({expression}, lambda {item}: {inner}))"
    return f"to_json({expression})"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
