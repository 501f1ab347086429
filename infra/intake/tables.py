"""Parquet and Arrow files, streamed by row groups and batches, only the columns asked for.

A batch is cast as a whole where each value stays what it was; one with anything odd in it (text that is no
UTF-8, members that would be lost) goes row by row.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from data_contracts.errors import DataError
from infra.intake.arrow_columns import (
    as_bytes,
    casts_exactly,
    loses_something,
    with_types,
)
from infra.intake.batches import RawBatch, SourceFile, WholeRows, is_json_text
from infra.intake.fitting import RowCollector
from infra.intake.streams import open_seekable, unreadable_file
from infra.intake.strict_json import MalformedError, json_text

_BATCH_BYTES = 32 << 20
_MOST_ROWS = 65_536
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
_NO_PYTHON_VALUE = (pa.ArrowException, ValueError, TypeError, OverflowError)
_Take = Callable[[Sequence[int]], pa.Table]
"""Rows of a batch by their places in it, with all columns of the file."""

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def read_table(file: SourceFile, schema: pa.Schema) -> Iterator[RawBatch]:
    """Batches of up to 65,536 rows. Raises DataError for a file that is damaged or not what its suffix says."""
    with open_seekable(file) as source:
        first = 1
        for batch, take in _batches(file, source, schema):
            yield _raw_batch(file, schema, batch, first, partial(_whole_rows, file, take, first))
            first += batch.num_rows


def table_schema(file: SourceFile) -> pa.Schema:
    """The file's own columns. Raises DataError as `read_table` does, and for two columns of one name."""
    with open_seekable(file) as source:
        try:
            found = (
                pq.ParquetFile(source).schema_arrow
                if file.format == "parquet"
                else _open_arrow(source).schema
            )
        except _DAMAGE as error:
            raise unreadable_file(file, error) from error
    twice = [name for name in dict.fromkeys(found.names) if found.names.count(name) > 1]
    if twice:
        raise DataError(
            f"{file.path} has several columns of one name: {', '.join(twice)}.",
            "a different name for each column",
            "Rename the columns.",
        )
    return found


def _batches(file: SourceFile, source: pa.NativeFile, schema: pa.Schema) -> Iterator[tuple[pa.Table, _Take]]:
    try:
        read = partial(_parquet_batches, file) if file.format == "parquet" else _arrow_batches
        for batch, take in read(source, schema):
            yield pa.Table.from_batches([batch]), take
    except _DAMAGE as error:
        raise unreadable_file(file, error) from error


def _parquet_batches(
    file: SourceFile, source: pa.NativeFile, schema: pa.Schema
) -> Iterator[tuple[pa.RecordBatch, _Take]]:
    parquet = pq.ParquetFile(source)
    metadata = parquet.metadata
    group_bytes = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    rows = _BATCH_BYTES * metadata.num_rows // max(group_bytes, 1)
    columns = [name for name in schema.names if name in parquet.schema_arrow.names]
    size, first = min(max(rows, 16), _MOST_ROWS), 0
    for batch in parquet.iter_batches(batch_size=size, columns=columns):
        yield batch, partial(_take_from_parquet, file, size, first)
        first += batch.num_rows


def _take_from_parquet(file: SourceFile, size: int, first: int, places: Sequence[int]) -> pa.Table:
    """Rows of one batch with all columns: the row groups that hold them are read again, `size` rows at a time."""
    wanted = np.asarray(places, np.int64) + first
    with open_seekable(file) as source:
        parquet = pq.ParquetFile(source)
        groups = range(parquet.metadata.num_row_groups)
        ends = np.cumsum([parquet.metadata.row_group(index).num_rows for index in groups])
        first_group, last_group = np.searchsorted(ends, wanted[[0, -1]], side="right").tolist()
        start = ends[first_group] - parquet.metadata.row_group(first_group).num_rows
        found = [parquet.schema_arrow.empty_table()]
        for batch in parquet.iter_batches(size, row_groups=list(groups[first_group : last_group + 1])):
            inside = wanted[(wanted >= start) & (wanted < start + batch.num_rows)] - start
            found.append(pa.Table.from_batches([batch]).take(pa.array(inside)))
            start += batch.num_rows
            if start > wanted[-1]:
                break
    return pa.concat_tables(found)


def _arrow_batches(source: pa.NativeFile, schema: pa.Schema) -> Iterator[tuple[pa.RecordBatch, _Take]]:
    reader = _open_arrow(source)
    columns = [name for name in schema.names if name in reader.schema.names]
    batches = (
        (reader.get_batch(index) for index in range(reader.num_record_batches))
        if isinstance(reader, ipc.RecordBatchFileReader)
        else reader
    )
    for batch in batches:
        batch.validate()
        for start in range(0, batch.num_rows, _MOST_ROWS):
            part = pa.Table.from_batches([batch.slice(start, _MOST_ROWS)])
            yield batch.select(columns).slice(start, _MOST_ROWS), part.take


def _open_arrow(source: pa.NativeFile) -> ipc.RecordBatchFileReader | ipc.RecordBatchStreamReader:
    """Either of Arrow's formats. Raises pa.ArrowInvalid for others, and for a stream without its end mark."""
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    if is_file:
        return ipc.open_file(source)
    size = source.size()
    source.seek(max(size - len(_END_OF_STREAM), 0))
    end = source.read(len(_END_OF_STREAM))
    source.seek(0)
    reader = ipc.open_stream(source)
    if end != _END_OF_STREAM:
        raise pa.ArrowInvalid("the stream breaks off before its end mark")
    return reader


def _whole_rows(file: SourceFile, take: _Take, first: int, numbers: Sequence[int]) -> list[str]:
    rows = take([number - first for number in numbers])
    rows = rows if _is_valid(file, rows) else as_bytes(rows)
    try:
        return [json_text(row) for row in rows.to_pylist()]
    except _NO_PYTHON_VALUE:
        places = range(rows.num_rows)
        return [
            json_text({name: _shown(rows[name], place) for name in rows.column_names}) for place in places
        ]


def _raw_batch(
    file: SourceFile, schema: pa.Schema, batch: pa.Table, first: int, whole: WholeRows
) -> RawBatch:
    is_text = _is_valid(file, batch)
    present = [field for field in schema if field.name in batch.column_names]
    if is_text and all(_casts(batch.column(field.name), field) for field in present):
        try:
            rows = with_types(batch, schema)
        except pa.ArrowException:
            return _row_by_row(file, schema, batch, first, whole)
        return RawBatch(file.path, rows, pa.arange(first, first + batch.num_rows), (), whole)
    return _row_by_row(file, schema, batch if is_text else as_bytes(batch), first, whole)


def _casts(column: Any, field: pa.Field) -> bool:
    return casts_exactly(column.type, field.type) and not loses_something(column, field.type)


def _is_valid(file: SourceFile, batch: pa.Table) -> bool:
    """Whether all its text is UTF-8. Raises DataError for a batch that is damaged otherwise."""
    try:
        batch.validate(full=True)
    except pa.ArrowException:
        try:
            as_bytes(batch).validate(full=True)
        except pa.ArrowException as error:
            raise unreadable_file(file, error) from error
        return False
    return True


def _row_by_row(
    file: SourceFile, schema: pa.Schema, batch: pa.Table, first: int, whole: WholeRows
) -> RawBatch:
    collector = RowCollector(file.path, schema)
    json_texts = [field.name for field in schema if is_json_text(field) and field.name in batch.column_names]
    for number, row in enumerate(_rows(batch), first):
        if isinstance(row, MalformedError):
            collector.refuse(number, str(row), b"")
        else:
            collector.add(number, row | {name: _without_nulls(row[name]) for name in json_texts})
    return collector.batch(whole)


def _rows(batch: pa.Table) -> Iterator[dict[str, Any] | MalformedError]:
    try:
        yield from batch.to_pylist()
    except _NO_PYTHON_VALUE:
        yield from (_row(batch, number) for number in range(batch.num_rows))


def _row(batch: pa.Table, number: int) -> dict[str, Any] | MalformedError:
    row: dict[str, Any] = {}
    for name in batch.column_names:
        try:
            row[name] = batch.column(name)[number].as_py()
        except _NO_PYTHON_VALUE as error:
            return MalformedError(f"field {name} cannot be read: {error}")
    return row


def _shown(column: pa.ChunkedArray, place: int) -> Any:
    """The value, or Arrow's own words for one that Python has none for."""
    try:
        return column[place].as_py()
    except _NO_PYTHON_VALUE:
        return column.slice(place, 1).to_string()


def _without_nulls(value: Any) -> Any:
    """Without the members that are null: a column of objects gives each row the keys of all."""
    if isinstance(value, dict):
        members = cast(dict[str, Any], value).items()
        return {key: _without_nulls(inner) for key, inner in members if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in cast(list[Any], value)]
    return value
