"""Write a version out of the home: JSONL, Parquet, Arrow, or a folder that `datasets.load_from_disk` reads."""

import gzip
import os
import platform
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import DataError
from infra.intake.arrow_columns import rows_as_json
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.warehouse import Warehouse

_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet", ".arrow")


def export_version(
    warehouse: Warehouse, version: DatasetVersion, target: Path, on_progress: Callable[[int, int], None]
) -> None:
    """Write all rows in order; the file appears complete or not at all. Raises DataError."""
    if target.suffix and not target.name.endswith(_SUFFIXES):
        raise DataError(
            f"{target} has the suffix {target.suffix!r}.",
            f"one of {', '.join(_SUFFIXES)}, or none for a folder of `datasets`",
            "Name the target so.",
        )
    pieces = _counted(warehouse.reader.pieces(version), version.num_rows, on_progress)
    with complete_or_absent(target) as temporary:
        if target.name.endswith((".jsonl", ".jsonl.gz")):
            with temporary.open("wb") as file:
                _write_json_lines(
                    pieces, gzip.GzipFile(fileobj=file, mode="wb") if target.suffix == ".gz" else file
                )
        elif target.suffix:
            _write_tables(pieces, temporary, target.suffix)
        else:
            _write_dataset(pieces, temporary, version.fingerprint)


@contextmanager
def complete_or_absent(target: Path, *, replaces: bool = False) -> Generator[Path]:
    """Where to write what becomes `target`, in the place of what is there if it `replaces` that. Raises DataError.

    A failure leaves nothing. What a killed export left is removed by the next one into the same folder.
    """
    mark = f".burnish-export.{platform.node()}."
    temporary = target.parent / f"{mark}{os.getpid()}.{time.monotonic_ns()}"
    try:
        if target.exists() and not replaces:
            raise DataError(
                f"{target} exists already.", "a new file or folder", "Name another one, or remove it."
            )
        if not target.parent.is_dir():
            raise DataError(
                f"The folder {target.parent} does not exist.", "a folder that does", "Make it first."
            )
        for left in target.parent.iterdir():
            if left.name.startswith(mark) and not psutil.pid_exists(int(left.name.split(".")[-2])):
                _remove(left)
        try:
            yield temporary
            replaced = target.parent / f"{mark}{os.getpid()}.{time.monotonic_ns()}"
            if target.exists():
                target.rename(replaced)
            temporary.rename(target)
            _remove(replaced)
        finally:
            _remove(temporary)
    except OSError as error:
        raise unwritable(target, error) from error


def unwritable(target: Path, error: OSError) -> DataError:
    return DataError(
        f"{target} cannot be written: {error.strerror or error}.",
        "a place that can",
        "Name another one, or make room.",
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _counted(
    pieces: Iterator[pa.Table], total: int, on_progress: Callable[[int, int], None]
) -> Iterator[pa.Table]:
    done = 0
    for piece in pieces:
        yield piece
        done += piece.num_rows
        on_progress(done, total)


def _write_json_lines(pieces: Iterator[pa.Table], file: BinaryIO | gzip.GzipFile) -> None:
    for piece in pieces:
        for start in range(0, piece.num_rows, 8192):
            file.write("".join(f"{row}\n" for row in rows_as_json(piece.slice(start, 8192))).encode())
    if isinstance(file, gzip.GzipFile):
        file.close()


def _write_tables(pieces: Iterator[pa.Table], path: Path, suffix: str) -> None:
    first = next(pieces)
    writer: Any = (
        pq.ParquetWriter(path, first.schema, compression="zstd")
        if suffix == ".parquet"
        else pa.ipc.new_file(path, first.schema)
    )
    with writer:
        writer.write_table(first)
        for piece in pieces:
            writer.write_table(piece)


def _write_dataset(pieces: Iterator[pa.Table], folder: Path, fingerprint: str) -> None:
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    Dataset(pa.concat_tables(pieces), fingerprint=fingerprint).save_to_disk(folder)
