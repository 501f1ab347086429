"""Segments: immutable Parquet files of rows, each with the hashes of its rows beside it.

    rows/<fingerprint>.parquet    the rows, as any tool reads them
    rows/<fingerprint>.hashes     16 bytes a row, in order

The name is the fingerprint of the rows, which the hashes alone prove; the SHA-256 of the Parquet file stands
in the catalog, so that a flipped byte is found by reading the file once.
"""

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import DataError
from infra.being_written import path_to_write
from infra.warehouse.row_hashes import HASH_TYPE, Hashes, columns_text, fingerprint_of

_ROW_GROUP = 65_536


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as the catalog knows it."""

    fingerprint: str
    columns: str
    num_rows: int
    num_bytes: int
    sha256: str


def rows_path(folder: Path, fingerprint: str) -> Path:
    return folder / f"{fingerprint}.parquet"


def hashes_path(folder: Path, fingerprint: str) -> Path:
    return folder / f"{fingerprint}.hashes"


class SegmentWriter:
    """Writes one segment, row groups in a thread of its own; nothing has its name before `publish`."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder = folder
        self._columns = columns_text(schema)
        self._temporary = path_to_write(folder)
        self._writer = pq.ParquetWriter(
            self._temporary,
            schema,
            compression="zstd",
            use_dictionary=_few_values(schema),  # pyright: ignore[reportArgumentType]
            write_statistics=False,
            write_page_checksum=True,
        )
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[pa.Table] = []
        self._written: Future[None] | None = None
        self._hashes: list[Hashes] = []

    @property
    def num_rows(self) -> int:
        return sum(map(len, self._hashes))

    def add(self, rows: pa.Table, hashes: Hashes) -> None:
        """Append rows; they are encoded while the caller makes the next ones."""
        self._waiting.append(rows)
        self._hashes.append(hashes)
        if sum(table.num_rows for table in self._waiting) >= _ROW_GROUP:
            self._write_waiting()

    def finish(self) -> Segment:
        """Complete the file on disk and say what it is."""
        self._write_waiting()
        self._wait()
        self._writer.close()
        self._thread.shutdown()
        return Segment(
            fingerprint_of(self._columns, self._hashes),
            self._columns,
            self.num_rows,
            self._temporary.stat().st_size,
            synced_sha256(self._temporary),
        )

    def publish(self, segment: Segment) -> None:
        """Give the finished files their names; whoever finds the rows finds their hashes."""
        hashes = hashes_path(self._folder, segment.fingerprint)
        temporary = path_to_write(self._folder)
        with temporary.open("wb") as file:
            for part in self._hashes:
                file.write(part.tobytes())
        synced_sha256(temporary)
        temporary.replace(hashes)
        self._temporary.replace(rows_path(self._folder, segment.fingerprint))

    def abandon(self) -> None:
        """Leave nothing behind. Safe at any time, after `publish` too."""
        self._thread.shutdown(cancel_futures=True)
        if self._writer.is_open:
            self._writer.close()
        self._temporary.unlink(missing_ok=True)

    def _write_waiting(self) -> None:
        self._wait()
        if self._waiting:
            table = pa.concat_tables(self._waiting)
            self._written = self._thread.submit(self.encode, table)
            self._waiting = []

    def encode(self, rows: pa.Table) -> None:
        """Write whole row groups; runs in the writer's thread."""
        self._writer.write_table(rows, _ROW_GROUP)

    def _wait(self) -> None:
        if self._written is not None:
            self._written.result()
            self._written = None


def read_hashes(folder: Path, segment: Segment) -> Hashes:
    """The rows' hashes, proven against the segment's name. Raises DataError when they are damaged."""
    path = hashes_path(folder, segment.fingerprint)
    try:
        hashes = np.fromfile(path, HASH_TYPE)
    except OSError as error:
        raise damaged(path, "is missing") from error
    if fingerprint_of(segment.columns, [hashes]) != segment.fingerprint:
        raise damaged(path, "was changed")
    return hashes


def read_segment(folder: Path, segment: Segment, columns: list[str] | None = None) -> pa.Table:
    """The rows, decoded while the file's bytes are checked. Raises DataError when they are damaged."""
    path = rows_path(folder, segment.fingerprint)
    with ThreadPoolExecutor(1) as thread:
        checked = thread.submit(require_unchanged, path, segment)
        try:
            return pq.read_table(path, columns=columns)
        finally:
            checked.result()  # damage is what is told, whatever it did to the reading


def require_unchanged(path: Path, segment: Segment) -> None:
    """The file is there with the bytes it was published with. Raises DataError."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise damaged(path, "is missing") from error
    if found != segment.sha256:
        raise damaged(path, "was changed")


def is_intact(folder: Path, segment: Segment) -> bool:
    """Whether rows and hashes are both there as they were published."""
    try:
        require_unchanged(rows_path(folder, segment.fingerprint), segment)
        read_hashes(folder, segment)
    except DataError:
        return False
    return True


def damaged(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} {what}.",
        "the file as Burnish published it",
        "Restore it from a backup, or import its source again; `burnish data verify` lists what is affected.",
    )


def synced_sha256(path: Path) -> str:
    """Force a finished file to disk and hash it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _few_values(schema: pa.Schema) -> list[str]:
    """Columns worth a dictionary; free text is not, and trying costs a third of the time."""
    return [
        path
        for path in (
            "source",
            "verifier",
            "arguments",
            "messages.list.element.role",
            "prompt.list.element.role",
        )
        if path.split(".")[0] in schema.names
    ]
