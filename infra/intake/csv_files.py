"""CSV by RFC 4180, every cell a text; an empty cell without quotes is null.

Python's reader splits the records (it alone says on which line each begins). A quote that is never closed
takes what follows with it: then the record is refused, and its reason says how far it reaches.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_contracts.errors import DataError
from infra.intake.batches import RawBatch, SourceFile, UnreadableRow, is_json_text, unreadable_row
from infra.intake.fitting import RowCollector
from infra.intake.streams import open_stream, require_text, unreadable_file
from infra.intake.strict_json import json_text

_BATCH_ROWS = 20_000
_BATCH_CHARACTERS = 16 << 20
_LONGEST_CELL = 256 << 20


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    cells: list[str | None]
    raw: str
    problem: str | None


def read_csv(file: SourceFile, schema: pa.Schema) -> Iterator[RawBatch]:
    """Batches of up to 20,000 records. Raises DataError for a header that names no columns, or one twice."""
    with open_stream(file) as stream:
        records = _records(file, stream)
        names = _column_names(file, records)
        kept: list[_Record] = []
        refused: list[UnreadableRow] = []
        size = 0
        for record in records:
            problem = record.problem
            if problem is None and len(record.cells) != len(names):
                problem = f"{len(record.cells)} fields, expected {len(names)} as in the header"
            if problem is None:
                kept.append(record)
            else:
                refused.append(unreadable_row(file.path, record.line, problem, _bytes(record.raw)))
            size += len(record.raw)
            if len(kept) + len(refused) >= _BATCH_ROWS or size >= _BATCH_CHARACTERS:
                yield _batch(file, schema, names, kept, refused)
                kept, refused, size = [], [], 0
        yield _batch(file, schema, names, kept, refused)


def csv_columns(file: SourceFile) -> list[str]:
    """The names in the header. Raises DataError as `read_csv` does."""
    with open_stream(file) as stream:
        return _column_names(file, _records(file, stream))


def _records(file: SourceFile, stream: Any) -> Iterator[_Record]:
    """All records but blank lines, the header first."""
    delimiter = _delimiter(file)
    taken: list[str] = []
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(_taken_lines(file, stream, taken), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        first = reader.line_num + 1
        problem = None
        cells: list[str | None] = []
        try:
            cells = list[str | None](next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            problem = _problem(file, error, first, reader.line_num)
        raw = taken[0] if len(taken) == 1 else "".join(taken)
        if problem is None and (not cells or (len(cells) == 1 and raw.isspace())):
            continue
        if "" in cells:
            cells = _with_nulls(cells, raw, delimiter)
        yield _Record(first, cells, raw, problem)


def _taken_lines(file: SourceFile, stream: Any, taken: list[str]) -> Iterator[str]:
    """The file's lines, each also left in `taken`, which is what the record being read is made of."""
    number = 0
    try:
        require_text(file, stream.peek(4))
        if stream.peek(3).startswith(b"\xef\xbb\xbf"):
            stream.read(3)
        for line in io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="\n"):
            taken.append(line)
            number += 1
            yield line
    except OSError as error:
        raise unreadable_file(file, error, number) from error


def _problem(file: SourceFile, error: csv.Error, first: int, last: int) -> str:
    reason = str(error)
    if "field limit" in reason:
        raise DataError(
            f"{file.path}: a cell of the record that begins in line {first:,} is longer than 256 MiB.",
            "cells of text, each quote closed",
            f"Close the quote that opens in line {first:,}, or remove the record.",
        )
    if reason == "unexpected end of data":
        return f"a quote is never closed: the record reaches to the end of the file, line {last:,}"
    reaches = f" (the record reaches to line {last:,})" if last > first else ""
    return f"malformed CSV: {reason}{reaches}"


def _with_nulls(cells: list[str | None], raw: str, delimiter: str) -> list[str | None]:
    if '""' not in raw:
        return [cell or None for cell in cells]
    cell_pattern = rf'(?:^|{delimiter})("(?:[^"]|"")*+"|[^{delimiter}]*)'
    written = re.findall(cell_pattern, raw.rstrip("\r\n"))
    return [cell or ("" if text else None) for cell, text in zip(cells, written, strict=True)]


def _column_names(file: SourceFile, records: Iterator[_Record]) -> list[str]:
    header = next(records, None)
    if header is None or header.problem is not None:
        raise DataError(
            f"{file.path} has no header that can be read{f': {header.problem}' if header else ''}.",
            "a first line with the columns' names",
            "Write the names into the first line.",
        )
    names = [name or "" for name in header.cells]
    counts = Counter(names)
    bad = [name for name in names if not name.strip() or counts[name] > 1]
    if bad:
        shown = ", ".join(repr(name) for name in dict.fromkeys(bad))
        raise DataError(
            f"{file.path} has columns without a name, or with the same one: {shown}.",
            "a different name for each column in the first line",
            "Correct the header.",
        )
    if not _is_unicode(names):
        raise DataError(
            f"{file.path} is not UTF-8: its header.", "text in UTF-8", "Convert the file to UTF-8."
        )
    return names


def _batch(
    file: SourceFile, schema: pa.Schema, names: list[str], kept: list[_Record], refused: list[UnreadableRow]
) -> RawBatch:
    if all(pa.types.is_string(field.type) and not is_json_text(field) for field in schema):
        columns = dict(zip(names, zip(*(record.cells for record in kept), strict=True), strict=False))
        nothing = [None] * len(kept)
        try:
            arrays = [pa.array(columns.get(name, nothing), pa.string()) for name in schema.names]
        except UnicodeEncodeError:
            return _record_by_record(file, schema, names, kept, refused)
        lines = pa.array([record.line for record in kept], pa.int64())
        rows = pa.Table.from_arrays(arrays, schema=schema)
        return RawBatch(file.path, rows, lines, tuple(refused), partial(_whole_rows, names, kept))
    return _record_by_record(file, schema, names, kept, refused)


def _record_by_record(
    file: SourceFile, schema: pa.Schema, names: list[str], kept: list[_Record], refused: list[UnreadableRow]
) -> RawBatch:
    collector = RowCollector(file.path, schema)
    for record in kept:
        if _is_unicode(record.cells):
            collector.add(record.line, dict(zip(names, record.cells, strict=True)), _bytes(record.raw))
        else:
            collector.refuse(record.line, "invalid UTF-8", _bytes(record.raw))
    batch = collector.batch(partial(_whole_rows, names, kept))
    unreadable = sorted((*refused, *batch.unreadable), key=lambda row: row.line)
    return replace(batch, unreadable=tuple(unreadable))


def _whole_rows(names: list[str], records: list[_Record], lines: Sequence[int]) -> list[str]:
    cells = {record.line: record.cells for record in records}
    return [json_text(dict(zip(names, map(_cell, cells[line]), strict=True))) for line in lines]


def _cell(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _is_unicode(cells: Sequence[str | None]) -> bool:
    try:
        "".join(cell for cell in cells if cell).encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(raw: str) -> bytes:
    return raw.rstrip("\r\n").encode("utf-8", "surrogateescape")


def _delimiter(file: SourceFile) -> str:
    return "\t" if ".tsv" in [suffix.lower() for suffix in Path(file.path).suffixes[-2:]] else ","
