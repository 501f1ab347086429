"""Free the space of what nothing needs: versions, files that no version names, what dead writers left.

All of it happens in one turn at the catalog, so nobody publishes a file between its being found and removed.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psutil

from data_contracts.errors import HomeError
from infra.being_written import writer_of
from infra.home import Home
from infra.warehouse.catalog import Catalog, DatasetVersion
from infra.warehouse.committing import manifest_path
from infra.warehouse.segments import hashes_path, rows_path


@dataclass(frozen=True, slots=True)
class Garbage:
    """What a collection removes: versions nothing needs, and files."""

    versions: tuple[DatasetVersion, ...]
    files: tuple[Path, ...]
    num_bytes: int


def find_garbage(home: Home, catalog: Catalog, unneeded: Collection[DatasetVersion]) -> Garbage:
    """What `collect` would remove."""
    with catalog.open() as db:
        unneeded = _untagged(db, unneeded)
        kept = [version for version in catalog.select_versions(db) if version not in unneeded]
        return _garbage(home, db, kept, unneeded)


def collect(home: Home, catalog: Catalog, unneeded: Collection[DatasetVersion]) -> Garbage:
    """Remove versions from the catalog, then the files that nothing names any more.

    Raises HomeError for a catalog without versions beside rows: it has lost them.
    """
    with catalog.open() as db:
        unneeded = _untagged(db, unneeded)
        _require_versions(home, catalog.select_versions(db))
        db.execute("begin")
        for version in unneeded:
            db.execute(
                "delete from versions where name = $1 and version = $2", [version.name, version.version]
            )
            db.execute(f'drop view if exists "{version}"')
        kept = catalog.select_versions(db)
        used = {name for version in kept for name in version.segments}
        for (name,) in db.execute("select fingerprint from segments").fetchall():
            if name not in used:
                db.execute("delete from segments where fingerprint = $1", [name])
        garbage = _garbage(home, db, kept, unneeded)
        db.execute("commit")
        for path in garbage.files:
            path.unlink(missing_ok=True)
    return garbage


def needed_versions(
    versions: Iterable[DatasetVersion], keep: int, is_used: Callable[[DatasetVersion], bool]
) -> set[tuple[str, int]]:
    """The newest `keep` of each name, and those that `is_used` (a tag, a model) names."""
    by_name: dict[str, list[DatasetVersion]] = {}
    for version in versions:
        by_name.setdefault(version.name, []).append(version)
    newest = {(v.name, v.version) for found in by_name.values() for v in found[-keep:]}
    return newest | {(v.name, v.version) for found in by_name.values() for v in found if is_used(v)}


def _garbage(
    home: Home,
    db: duckdb.DuckDBPyConnection,
    kept: Collection[DatasetVersion],
    unneeded: Collection[DatasetVersion],
) -> Garbage:
    segments = {name for version in kept for name in version.segments}
    quarantines = [row[0] for row in db.execute("select file from quarantines").fetchall()]
    needed = {
        *(manifest_path(home, version) for version in kept if version.manifest_sha256),
        *(path(home.rows_dir, name) for name in segments for path in (rows_path, hashes_path)),
        *(home.cards_dir / f"{version.fingerprint}.json" for version in kept),
        *(home.quarantine_dir / f"{name}.parquet" for name in quarantines),
    }
    files = [
        path
        for folder in (home.rows_dir, home.manifests_dir, home.cards_dir, home.quarantine_dir)
        for path in sorted(folder.iterdir())
        if path not in needed and not _is_being_written(path)
    ]
    return Garbage(tuple(unneeded), tuple(files), sum(path.stat().st_size for path in files))


def _untagged(db: duckdb.DuckDBPyConnection, versions: Collection[DatasetVersion]) -> list[DatasetVersion]:
    tagged = set(db.execute("select name, version from tags").fetchall())
    return [version for version in versions if (version.name, version.version) not in tagged]


def _require_versions(home: Home, versions: Collection[DatasetVersion]) -> None:
    if not versions and any(home.rows_dir.glob("*.parquet")):
        raise HomeError(
            f"The warehouse {home.warehouse_path} names no version, but there are files of rows.",
            "the catalog of these rows",
            "Restore it from a backup; if the rows may go, remove the home.",
        )


def _is_being_written(path: Path) -> bool:
    """What a dead process was writing is garbage."""
    writer = writer_of(path)
    return writer is not None and psutil.pid_exists(writer)
