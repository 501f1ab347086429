"""Files that a test writes, and all that is read of them."""

from pathlib import Path

import pyarrow as pa

from infra.intake.batches import RawBatch, SourceFile
from infra.intake.files import find_files
from infra.intake.reading import read_batches

MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))


CHAT = pa.schema({"messages": MESSAGES, "source": pa.string()})


def written(tmp_path: Path, name: str, content: bytes | str) -> SourceFile:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (file,) = find_files(name, tmp_path)
    return file


def read(file: SourceFile, schema: pa.Schema) -> tuple[dict[int, dict], dict[int, str]]:
    """Rows by line, reasons by line."""
    return gathered(list(read_batches([file], schema)), schema)


def gathered(batches: list[RawBatch], schema: pa.Schema) -> tuple[dict[int, dict], dict[int, str]]:
    rows: dict[int, dict] = {}
    reasons: dict[int, str] = {}
    for batch in batches:
        assert batch.rows.schema.equals(schema)
        batch.rows.validate(full=True)
        for line, row in zip(batch.lines.to_pylist(), batch.rows.to_pylist(), strict=True):
            assert line not in rows
            rows[line] = row
        for bad in batch.unreadable:
            assert bad.line not in reasons and bad.line not in rows
            reasons[bad.line] = bad.reason
    return rows, reasons
