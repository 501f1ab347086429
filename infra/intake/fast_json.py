"""Blocks of JSON lines through Arrow's parser, ten times as fast as a line at a time, where that is exact.

Arrow's parser takes NaN for a number, two objects on a line for two rows, drops the keys that no column is
named for, and crashes on a block that begins with `null` and on inferring the type of ten thousand brackets.
So nothing is inferred: every member an object may have is known by type beforehand, from rows seen earlier,
and an unknown one makes the block go the exact way, a line at a time, as does all that Arrow refuses.
"""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from infra.intake.arrow_columns import loses_something, with_types
from infra.intake.batches import is_json_text
from infra.intake.json_types import MixedTypesError, merged_all, settled, type_of, widened

_PARSED_TOGETHER = 2 << 20
_MOST_LESSONS = 4
_NOT_FINITE = re.compile(rb"[\s:,\[-](?:NaN|Inf(?:inity)?)\s*[,\]}]")


class FastJson:
    """One file's fast way: what its objects have besides the columns asked for."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._is_able = all(_is_plain(field.type) and not is_json_text(field) for field in schema)
        self._known: pa.Schema | None = schema
        self._drops_unknown = not any(_has_objects(field.type) for field in schema)
        self._lessons = 0

    def learn(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take the keys and types of these rows as known, a few times a file; mixed types end the fast way."""
        if self._known is None or self._drops_unknown or self._lessons == _MOST_LESSONS:
            return
        self._lessons += 1
        try:
            found = settled(merged_all(type_of(row) for row in rows))
            known = widened(pa.struct(list(self._known)), found)
            self._known = pa.schema([known.field(index) for index in range(known.num_fields)])
        except MixedTypesError:
            self._known = None

    def rows(self, block: bytes, newlines: NDArray[np.int64]) -> pa.Table | None:
        """The block's rows in the columns asked for, one per line, or None where that is not certain."""
        num_lines = len(newlines) + (not block.endswith(b"\n"))
        is_able = self._is_able and self._known is not None
        if not is_able or not _is_object_per_line(block, newlines) or not _is_utf8(block):
            return None
        table = self._parsed(block)
        if table is None or table.num_rows != num_lines or not self._is_exact(table, block):
            return None
        return with_types(table, self._schema)

    def _is_exact(self, table: pa.Table, block: bytes) -> bool:
        """Whether Arrow has read nothing that is no JSON, and nothing would be lost."""
        if self._drops_unknown:
            return not ((b"NaN" in block or b"Inf" in block) and _NOT_FINITE.search(block))
        return not (
            any(_has_not_finite(chunk) for column in table.columns for chunk in column.chunks)
            or any(loses_something(table[field.name], field.type) for field in self._schema)
        )

    def _parsed(self, block: bytes) -> pa.Table | None:
        try:
            return pj.read_json(
                pa.BufferReader(block),
                read_options=pj.ReadOptions(block_size=_PARSED_TOGETHER),
                parse_options=pj.ParseOptions(
                    explicit_schema=self._known,
                    unexpected_field_behavior="ignore" if self._drops_unknown else "error",
                ),
            )
        except pa.ArrowException:
            return None


def _is_object_per_line(block: bytes, newlines: NDArray[np.int64]) -> bool:
    """Whether each line begins with { and ends with }, which with as many objects as lines means one on each.

    In valid JSON nothing but the next row can follow a } with { on the next line.
    """
    if not block.startswith(b"{") or not block.endswith((b"}\n", b"}\r\n", b"}")):
        return False
    characters = np.frombuffer(block, np.uint8)
    starts = newlines[:-1] + 1 if block.endswith(b"\n") else newlines + 1
    ends = newlines - 1
    if b"\r" in block:
        is_return = characters[ends] == ord("\r")
        if block.count(b"\r") != np.count_nonzero(is_return):
            return False
        ends = ends - is_return
    return bool((characters[starts] == ord("{")).all() and (characters[ends] == ord("}")).all())


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_plain(asked: pa.DataType) -> bool:
    """Whether Arrow makes this type of JSON's own types alone, as the exact way does."""
    if pa.types.is_list(asked):
        return _is_plain(asked.value_type)
    if pa.types.is_struct(asked):
        return all(_is_plain(field.type) and not is_json_text(field) for field in asked)
    return pa.types.is_string(asked) or pa.types.is_boolean(asked) or asked in (pa.int64(), pa.float64())


def _has_objects(asked: pa.DataType) -> bool:
    return pa.types.is_struct(asked) or (pa.types.is_list(asked) and _has_objects(asked.value_type))


def _has_not_finite(array: Any) -> bool:
    """Whether a number in it is NaN or infinite: Arrow reads the words, JSON does not know them."""
    if pa.types.is_list(array.type):
        return _has_not_finite(array.flatten())
    if pa.types.is_struct(array.type):
        return any(_has_not_finite(array.field(index)) for index in range(array.type.num_fields))
    if not pa.types.is_floating(array.type):
        return False
    return pc.call_function("all", [pc.call_function("is_finite", [array])]).as_py() is False
