"""Publish rows as a version: only rows that are new are written, the rest is named by where it stands.

The order is fixed, so that a kill at any instant leaves the old state: files under temporary names, synced;
then, with the catalog held, their real names, and last the transaction that makes the version.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from infra.home import Home
from infra.warehouse.catalog import Catalog, DatasetVersion, select_segments
from infra.warehouse.known_rows import KnownRows
from infra.warehouse.manifests import Integers, Manifest, join_rows, whole_segment, write_manifest
from infra.warehouse.row_hashes import Hashes, RowHasher, columns_text, fingerprint_of
from infra.warehouse.segments import Segment, SegmentWriter, rows_path, synced_sha256


@dataclass(frozen=True, slots=True)
class Origin:
    """How a version came to be."""

    stage_key: str = ""
    document: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Published:
    """A version, and whether this call made it."""

    version: DatasetVersion
    is_new: bool
    num_new_rows: int


class Publisher:
    """Takes rows batch by batch and publishes them as the next version of `name`; a context manager.

    `known` are segments whose rows need not be written again. Without them every row is written: a stage's
    rows, which its followers read as one file.
    """

    def __init__(
        self, home: Home, catalog: Catalog, name: str, kind: RowKind, known: Sequence[Segment]
    ) -> None:
        self._home, self._catalog, self._name, self._kind = home, catalog, name, kind
        self._candidates = known
        self._segments: list[str] = []
        self._known = KnownRows(home.rows_dir, [])
        self._hasher = RowHasher()
        self._writer: SegmentWriter | None = None
        self._schema: pa.Schema | None = None
        self._hashes: list[Hashes] = []
        self._segment: list[Integers] = []
        self._position: list[Integers] = []

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hasher.close()
        if self._writer is not None:
            self._writer.abandon()

    def add(self, rows: pa.Table) -> None:
        """Append rows; all batches have the same columns."""
        if rows.num_rows == 0:
            return
        if self._schema is None:
            self._begin(rows.schema)
        hashes = self._hasher.hash_rows(rows)
        segment, position = self._known.find(hashes)
        is_new = segment < 0
        num_new = int(is_new.sum())
        if num_new:
            if self._writer is None:
                self._writer = SegmentWriter(self._home.rows_dir, rows.schema)
            segment[is_new] = len(self._segments)
            position[is_new] = self._writer.num_rows + np.arange(num_new)
            all_new = num_new == rows.num_rows
            self._writer.add(rows if all_new else rows.filter(pa.array(is_new)), hashes[is_new])
        self._hashes.append(hashes)
        self._segment.append(segment)
        self._position.append(position)

    def _begin(self, schema: pa.Schema) -> None:
        columns = columns_text(schema)
        known = [segment for segment in self._candidates if segment.columns == columns]
        self._schema = schema
        self._segments = [segment.fingerprint for segment in known]
        self._known = KnownRows(self._home.rows_dir, known)

    def publish(self, origin: Origin) -> Published:
        """Make the version. Raises DataError when no row was added."""
        if self._schema is None:
            raise no_rows(self._name)
        columns = columns_text(self._schema)
        new = self._writer.finish() if self._writer is not None else None
        manifest = join_rows(
            [*self._segments, *([new.fingerprint] if new else [])],
            np.concatenate(self._segment),
            np.concatenate(self._position),
        )
        draft = Draft(self._name, self._kind, columns, fingerprint_of(columns, self._hashes), manifest)
        return commit(self._home, self._catalog, draft, origin, (self._writer, new) if new else None)


@dataclass(frozen=True, slots=True)
class Draft:
    """A version before it has a number."""

    name: str
    kind: RowKind
    columns: str
    fingerprint: str
    manifest: Manifest


def commit(
    home: Home,
    catalog: Catalog,
    draft: Draft,
    origin: Origin,
    written: tuple[SegmentWriter | None, Segment] | None = None,
) -> Published:
    """Name the files and make the version, in one turn at the catalog. Same rows, same name: no new version."""
    num_rows = draft.manifest.num_rows
    is_whole = draft.manifest.segments == (draft.fingerprint,)
    with catalog.change() as db:
        found = catalog.select_versions(db, "name = $1 and fingerprint = $2", [draft.name, draft.fingerprint])
        new_rows = 0
        if written is not None:
            writer, segment = written
            path = rows_path(home.rows_dir, segment.fingerprint)
            if segment.fingerprint not in select_segments(db, [segment.fingerprint]) or not path.exists():
                assert writer is not None
                writer.publish(segment)
                db.execute(
                    "insert or replace into segments values ($1, $2, $3, $4, $5)",
                    [
                        segment.fingerprint,
                        segment.columns,
                        segment.num_rows,
                        segment.num_bytes,
                        segment.sha256,
                    ],
                )
                new_rows = segment.num_rows
        if found:
            return Published(found[0], is_new=False, num_new_rows=new_rows)
        _require_segments(db, draft)
        manifest_digest = None if is_whole else _write_manifest(home, draft)
        ((newest,),) = db.execute(
            "select coalesce(max(version), 0) from versions where name = $1", [draft.name]
        ).fetchall()
        row = [
            draft.name,
            newest + 1,
            draft.fingerprint,
            draft.kind.value,
            num_rows,
            draft.columns,
            list(draft.manifest.segments),
            manifest_digest,
            origin.stage_key,
            time.time(),
            json.dumps(origin.document),
        ]
        db.execute(f"insert into versions values ({', '.join(f'${i + 1}' for i in range(len(row)))})", row)
        version = catalog.version_of(row)
        _create_view(db, home, version)
        return Published(version, is_new=True, num_new_rows=new_rows)


def whole(name: str, kind: RowKind, segment: Segment) -> Draft:
    """The version that is one segment as it stands."""
    manifest = whole_segment(segment.fingerprint, segment.num_rows)
    return Draft(name, kind, segment.columns, segment.fingerprint, manifest)


def manifest_path(home: Home, fingerprint: str) -> Path:
    return home.manifests_dir / f"{fingerprint}.parquet"


def no_rows(name: str) -> DataError:
    return DataError(
        f"Dataset {name} has no rows.", "at least one row", "Check its source, and any filter in its sql."
    )


def _require_segments(db: duckdb.DuckDBPyConnection, draft: Draft) -> None:
    gone = set(draft.manifest.segments) - set(select_segments(db, draft.manifest.segments))
    if gone:
        raise DataError(
            f"Rows that {draft.name} shares with an older version were collected meanwhile: {', '.join(gone)}.",
            "the segments that were there at the beginning",
            "Run the same command again.",
        )


def _write_manifest(home: Home, draft: Draft) -> str:
    path = manifest_path(home, draft.fingerprint)
    temporary = path.with_name(f".{os.getpid()}.{time.monotonic_ns()}.tmp")
    write_manifest(draft.manifest, temporary)
    digest = synced_sha256(temporary)
    temporary.replace(path)
    return digest


def _create_view(db: duckdb.DuckDBPyConnection, home: Home, version: DatasetVersion) -> None:
    """`select * from "name@1"` for any DuckDB client. A view takes no parameters; all names in it are ours:
    checked identifiers and hexadecimal digests.
    """
    if version.is_whole_segment:
        query = f"from read_parquet({_literal(version.path)})"
    else:
        files = ", ".join(_literal(rows_path(home.rows_dir, segment)) for segment in version.segments)
        columns = ", ".join(_quoted(name) for name, _ in json.loads(version.columns))
        query = (
            f"select {columns} from read_parquet([{files}], union_by_name = true, filename = true,"
            " file_row_number = true) as row"
            f" join read_parquet({_literal(manifest_path(home, version.fingerprint))}) as run"
            " on row.filename[-40:-9] = run.segment"
            " and row.file_row_number between run.start and run.start + run.length - 1"
            " order by run.first_row + row.file_row_number - run.start"
        )
    db.execute(f"create or replace view {_quoted(str(version))} as {query}")


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
