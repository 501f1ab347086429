"""Make a version: files get their names, and the catalog the version, in one turn.

The order is fixed, so that a kill at any instant leaves the old state: complete files under temporary names;
then, with the catalog held, their real names, and last the transaction that makes the version.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from data_contracts.errors import DataError
from data_contracts.rows import RowKind
from infra.being_written import path_to_write
from infra.home import Home
from infra.warehouse.catalog import Catalog, DatasetVersion, select_segments
from infra.warehouse.manifests import Manifest, write_manifest
from infra.warehouse.segments import Segment, SegmentWriter, is_intact, rows_path, synced_sha256

Change = Callable[[duckdb.DuckDBPyConnection], None]
"""What becomes true of the catalog in the transaction that makes a version."""


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


@dataclass(frozen=True, slots=True)
class Draft:
    """A version before it has a number."""

    name: str
    kind: RowKind
    columns: str
    fingerprint: str
    manifest: Manifest
    after: int | None = None
    """The version it builds on, which must be the newest still; 0 for none."""


def commit(
    home: Home,
    catalog: Catalog,
    draft: Draft,
    origin: Origin,
    written: tuple[SegmentWriter, Segment] | None = None,
    change: Change | None = None,
) -> Published:
    """Name the files and make the version, in one turn at the catalog. Same rows, same name: no new version,
    but damaged files of the old one are replaced.

    Raises DataError when rows it shares were collected, or when the version that the draft
    builds on is not the newest any more. `change` happens together with it, or neither does.
    """
    with catalog.change() as db:
        if change is not None:
            change(db)
        new_rows = name_segment(db, home, *written) if written is not None else 0
        _require_segments(db, draft)
        versions = catalog.select_versions(db, "name = $1", [draft.name])
        known = next((v for v in versions if v.fingerprint == draft.fingerprint), None)
        if known is not None and _is_intact(db, home, known):
            return Published(known, is_new=False, num_new_rows=new_rows)
        newest = versions[-1].version if versions else 0
        if known is None and draft.after is not None and draft.after != newest:
            raise DataError(
                f"{draft.name}@{newest} was made meanwhile.",
                f"version {draft.after} as the newest, which this one builds on",
                "Run the same command again.",
            )
        is_whole = draft.manifest.segments == (draft.fingerprint,)
        row = [
            draft.name,
            known.version if known else newest + 1,
            draft.fingerprint,
            draft.kind.value,
            draft.manifest.num_rows,
            draft.columns,
            list(draft.manifest.segments),
            None if is_whole else _write_manifest(home, draft.manifest),
            known.stage_key if known else origin.stage_key,
            known.created_at if known else time.time(),
            json.dumps(known.origin if known else origin.document),
        ]
        db.execute("delete from versions where name = $1 and version = $2", row[:2])
        db.execute(f"insert into versions values ({', '.join(f'${i + 1}' for i in range(len(row)))})", row)
        version = catalog.version_of(row)
        _create_view(db, home, version)
        return Published(version, is_new=known is None, num_new_rows=new_rows)


def manifest_path(home: Home, version: DatasetVersion) -> Path:
    """Where a version's manifest is, by its own digest: equal rows may stand in other segments elsewhere."""
    return home.manifests_dir / f"{version.manifest_sha256}.parquet"


def is_manifest_intact(home: Home, version: DatasetVersion) -> bool:
    """Whether the manifest is there as it was published; a version that is one whole segment needs none."""
    path = manifest_path(home, version)
    return version.is_whole_segment or (path.is_file() and synced_sha256(path) == version.manifest_sha256)


def move_rows(db: duckdb.DuckDBPyConnection, home: Home, version: DatasetVersion, manifest: Manifest) -> None:
    """Let a version say that the same rows stand elsewhere."""
    digest = _write_manifest(home, manifest)
    db.execute(
        "update versions set segments = $1, manifest_sha256 = $2 where name = $3 and version = $4",
        [list(manifest.segments), digest, version.name, version.version],
    )
    _create_view(db, home, replace(version, segments=manifest.segments, manifest_sha256=digest))


def name_segment(db: duckdb.DuckDBPyConnection, home: Home, writer: SegmentWriter, segment: Segment) -> int:
    """Give a new segment's files their names, also in place of damaged ones; returns the rows it adds."""
    known = select_segments(db, [segment.fingerprint]).get(segment.fingerprint)
    if known is not None and is_intact(home.rows_dir, known):
        return 0
    writer.publish(segment)
    db.execute(
        "insert or replace into segments values ($1, $2, $3, $4, $5)",
        [segment.fingerprint, segment.columns, segment.num_rows, segment.num_bytes, segment.sha256],
    )
    return segment.num_rows


def _is_intact(db: duckdb.DuckDBPyConnection, home: Home, version: DatasetVersion) -> bool:
    segments = select_segments(db, version.segments)
    return (
        len(segments) == len(version.segments)
        and is_manifest_intact(home, version)
        and all(is_intact(home.rows_dir, segment) for segment in segments.values())
    )


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


def _write_manifest(home: Home, manifest: Manifest) -> str:
    temporary = path_to_write(home.manifests_dir)
    write_manifest(manifest, temporary)
    digest = synced_sha256(temporary)
    temporary.replace(home.manifests_dir / f"{digest}.parquet")
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
            f" join read_parquet({_literal(manifest_path(home, version))}) as run"
            " on row.filename[-40:-9] = run.segment"
            " and row.file_row_number between run.start and run.start + run.length - 1"
            " order by run.first_row + row.file_row_number - run.start"
        )
    db.execute(f"create or replace view {_quoted(str(version))} as {query}")


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
