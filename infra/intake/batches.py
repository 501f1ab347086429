"""What reading a source gives: its files, and batches in which every row is either there or accounted for.

A reader never drops a row in silence. What it cannot bring to the columns asked for stands in `unreadable`,
with the place and the reason, so that the counts of a batch add up to the rows of the file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

_LONGEST_TEXT = 1_000_000
JSON_TEXT = {b"json": b"text"}
"""Metadata of a string field whose lists and objects stand as JSON text; its texts stand as they are."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One data file."""

    path: str
    format: str
    """jsonl, json, parquet, arrow or csv."""
    compression: str | None
    """gzip, zstd or None: the suffix after the format's."""


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A row that is not what the source promises."""

    file: str
    line: int
    """From 1: the line of a text file where the row begins, the row of a Parquet or Arrow file, the element of a
    JSON file."""
    reason: str
    text: str
    """The row as it stands in the file, at most 1 MB; bytes that are no UTF-8 as `\\xff`."""


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Consecutive rows of one file."""

    file: str
    rows: pa.Table
    """Exactly the columns and types asked for."""
    lines: pa.Array
    """int64, one per row: what `UnreadableRow.line` is for the others."""
    unreadable: tuple[UnreadableRow, ...]
    whole: "WholeRows"
    """The rows that stand on some of `lines`, ascending, with all that the file says of them: as they are written
    in JSON, else as a JSON object of all columns. Slower than `rows`, and meant for a few."""


WholeRows = Callable[[Sequence[int]], list[str]]


def unreadable_row(file: str, line: int, reason: str, raw: bytes) -> UnreadableRow:
    """The record of a row that cannot be used, its text cut at 1 MB with a note of its whole length."""
    text = raw[:_LONGEST_TEXT].decode("utf-8", "backslashreplace")
    note = f" … [cut: {len(raw):,} bytes]" if len(raw) > _LONGEST_TEXT else ""
    return UnreadableRow(file, line, reason, text + note)


def is_json_text(field: pa.Field) -> bool:
    """Whether lists and objects stand in this string field as JSON text."""
    return (field.metadata or {}).get(b"json") == b"text"
