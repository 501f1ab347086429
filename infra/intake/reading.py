"""From source files to batches, whatever their format."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from infra.intake.batches import RawBatch, SourceFile
from infra.intake.csv_files import read_csv
from infra.intake.json_files import read_json_file
from infra.intake.json_lines import read_json_lines
from infra.intake.tables import read_table

_READERS = {
    "jsonl": read_json_lines,
    "json": read_json_file,
    "csv": read_csv,
    "parquet": read_table,
    "arrow": read_table,
}


def read_batches(files: Sequence[SourceFile], schema: pa.Schema) -> Iterator[RawBatch]:
    """All rows of all files, in order: each in exactly one batch, as a row of `schema` or as unreadable.

    Raises DataError for a file that is damaged as a whole.
    """
    for file in files:
        yield from _READERS[file.format](file, schema)
