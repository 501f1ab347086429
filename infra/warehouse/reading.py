"""Read a version back: its segments' rows in the manifest's order, checked against what was published."""

import json
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import DataError
from infra.being_written import path_to_write
from infra.home import Home
from infra.warehouse.catalog import Catalog, DatasetVersion
from infra.warehouse.committing import manifest_path
from infra.warehouse.manifests import Integers, Manifest, read_manifest, whole_segment
from infra.warehouse.row_hashes import Hashes, RowHasher, fingerprint_of
from infra.warehouse.segments import (
    Segment,
    damaged,
    read_hashes,
    read_segment,
    require_unchanged,
    rows_path,
    synced_sha256,
)

_ROWS_PER_PIECE = 65_536
_LONG_RUN = 16
"""Mean length of a run from which copying runs beats picking rows."""

_MAX_TEXT_BYTES = 2**31 - 2**20
"""Arrow's plain string column ends here; larger ones are picked from as `large_string`."""


class Reader:
    """Reads versions of one home."""

    def __init__(self, home: Home, catalog: Catalog) -> None:
        self._home, self._catalog = home, catalog
        self._made: dict[str, Path] = {}

    def manifest(self, version: DatasetVersion) -> Manifest:
        """Which rows of which segments. Raises DataError when its file is damaged."""
        if version.is_whole_segment:
            return whole_segment(version.fingerprint, version.num_rows)
        path = manifest_path(self._home, version)
        if not path.is_file():
            raise damaged(path, "is missing")
        if synced_sha256(path) != version.manifest_sha256:
            raise damaged(path, "was changed")
        return read_manifest(path)

    def segments(self, version: DatasetVersion) -> dict[str, Segment]:
        return self._catalog.segments(version.segments)

    def hashes(self, version: DatasetVersion) -> Hashes:
        """The hash of every row in order, proven against the version's fingerprint."""
        segments, manifest = self.segments(version), self.manifest(version)
        stored = [read_hashes(self._home.rows_dir, segments[name]) for name in manifest.segments]
        before = np.concatenate([[0], np.cumsum([len(part) for part in stored])[:-1]]).astype(np.int64)
        segment, position = manifest.positions()
        hashes = np.concatenate(stored)[before[segment] + position]
        if fingerprint_of(version.columns, [hashes]) != version.fingerprint:
            raise damaged(manifest_path(self._home, version), "does not give the fingerprint")
        return hashes

    def read(self, version: DatasetVersion, columns: list[str] | None = None) -> pa.Table:
        """All rows in order (or some columns of them). Raises DataError for damage of any byte read."""
        if version.is_whole_segment:
            segment = self.segments(version)[version.fingerprint]
            return read_segment(self._home.rows_dir, segment, columns)
        return pa.concat_tables(self.pieces(version, columns))

    def pieces(self, version: DatasetVersion, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The rows of `read` in tables of some ten thousand."""
        yield from self.rows_at(version, self.manifest(version), columns)

    def rows_at(
        self, version: DatasetVersion, manifest: Manifest, columns: list[str] | None = None
    ) -> Iterator[pa.Table]:
        """The rows that a manifest over this version's segments names."""
        names = [name for name, _ in json.loads(version.columns) if columns is None or name in columns]
        segments = self._catalog.segments(manifest.segments)
        tables = [self._read_named(segments[name], names) for name in manifest.segments]
        if not tables:
            return
        whole = pa.concat_tables(tables, promote_options="permissive").select(names)
        before = np.concatenate([[0], np.cumsum([t.num_rows for t in tables])[:-1]]).astype(np.int64)
        if manifest.num_rows >= _LONG_RUN * len(manifest.length):
            for piece in manifest.pieces(_ROWS_PER_PIECE):
                yield _copy_runs(whole, before, piece)
        else:
            yield from _pick_rows(whole, before, manifest)

    def file(self, version: DatasetVersion) -> Path:
        """The rows as one Parquet file: a whole segment's own, else one that is made and goes with this reader."""
        if version.is_whole_segment:
            require_unchanged(version.path, self.segments(version)[version.fingerprint])
            return version.path
        if version.fingerprint not in self._made:
            path = path_to_write(self._home.rows_dir)  # kept from collectors while this process lives
            weakref.finalize(self, path.unlink, missing_ok=True)
            _write(self.pieces(version), path)
            self._made[version.fingerprint] = path
        return self._made[version.fingerprint]

    def prove(self, version: DatasetVersion) -> pa.Table:
        """The rows, every one hashed again. Raises DataError when they are not what was published."""
        rows = self.read(version)
        hasher = RowHasher()
        segments = self.segments(version)
        try:
            if len({segment.columns for segment in segments.values()}) == 1:
                found = fingerprint_of(version.columns, [hasher.hash_rows(rows)])
                if found != version.fingerprint:
                    raise damaged(version.path, f"gives the fingerprint {found}")
                return rows
            for segment in segments.values():
                prove_segment(self._home.rows_dir, segment, hasher)
        finally:
            hasher.close()
        self.hashes(version)
        return rows

    def _read_named(self, segment: Segment, names: list[str]) -> pa.Table:
        present = [name for name, _ in json.loads(segment.columns) if name in names]
        return read_segment(self._home.rows_dir, segment, present)


def prove_segment(folder: Path, segment: Segment, hasher: RowHasher) -> None:
    """Hash a segment's rows again. Raises DataError when the file or its rows are not what was published."""
    rows = read_segment(folder, segment)
    if fingerprint_of(segment.columns, [hasher.hash_rows(rows)]) != segment.fingerprint:
        raise damaged(rows_path(folder, segment.fingerprint), "holds other rows")


def require_columns(version: DatasetVersion, wanted: Iterable[str]) -> None:
    """Raise DataError when the version lacks one of these columns."""
    names = [name for name, _ in json.loads(version.columns)]
    if missing := [name for name in wanted if name not in names]:
        raise DataError(
            f"{version} has no column {', '.join(missing)}.",
            f"one of {', '.join(names)}",
            f"See `burnish data show {version}`.",
        )


def _copy_runs(whole: pa.Table, before: Integers, piece: Manifest) -> pa.Table:
    starts = (before[piece.segment] + piece.start).tolist()
    runs = [whole.slice(start, length) for start, length in zip(starts, piece.length.tolist(), strict=True)]
    return pa.concat_tables(runs).combine_chunks()


def _pick_rows(whole: pa.Table, before: Integers, manifest: Manifest) -> Iterator[pa.Table]:
    schema = whole.schema
    if whole.nbytes > _MAX_TEXT_BYTES:
        whole = whole.cast(pa.schema([(field.name, _large(field.type)) for field in schema]))
    whole = whole.combine_chunks()
    segment, position = manifest.positions()
    index = before[segment] + position
    for start in range(0, len(index), _ROWS_PER_PIECE):
        yield whole.take(pa.array(index[start : start + _ROWS_PER_PIECE])).cast(schema)


def _large(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string(kind):
        return pa.large_string()
    if pa.types.is_list(kind):
        return pa.large_list(_large(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _large(field.type)) for field in kind.fields])
    return kind


def _write(pieces: Iterator[pa.Table], path: Path) -> None:
    first = next(pieces)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for piece in pieces:
            writer.write_table(piece)
