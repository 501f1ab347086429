"""Is every byte of the warehouse what was published, and what is there that nothing needs?"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from data_contracts.errors import DataError
from infra.home import Home
from infra.warehouse.catalog import Catalog, DatasetVersion, select_segments
from infra.warehouse.committing import manifest_path
from infra.warehouse.reading import Reader, prove_segment
from infra.warehouse.row_hashes import RowHasher
from infra.warehouse.segments import Segment, hashes_path, read_hashes, require_unchanged, rows_path

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it was published, and the versions that need it."""

    found: str
    versions: tuple[DatasetVersion, ...]


@dataclass(frozen=True, slots=True)
class Garbage:
    """What a collection removes: files, and versions nothing needs."""

    versions: tuple[DatasetVersion, ...]
    files: tuple[Path, ...]
    num_bytes: int


def find_damage(
    home: Home,
    catalog: Catalog,
    versions: Collection[DatasetVersion],
    every_row: bool,
    on_progress: OnProgress,
) -> list[Damage]:
    """Check the files of these versions: bytes and hashes, and with `every_row` each row hashed again.

    Raises HomeError when the catalog itself is damaged.
    """
    catalog.require_readable()
    reader = Reader(home, catalog)
    segments = catalog.segments(list({name for version in versions for name in version.segments}))
    checks = len(segments) + len(versions)
    damage: list[Damage] = []
    hasher = RowHasher()
    try:
        for done, segment in enumerate(segments.values()):
            on_progress(done, checks)
            if (found := _segment_damage(home, segment, hasher if every_row else None)) is not None:
                affected = [v for v in versions if segment.fingerprint in v.segments]
                damage.append(Damage(found, tuple(affected)))
    finally:
        hasher.close()
    for done, version in enumerate(versions, len(segments)):
        on_progress(done, checks)
        missing = [name for name in version.segments if name not in segments]
        if missing:
            damage.append(Damage(f"The catalog lacks the segments {', '.join(missing)}.", (version,)))
        elif not any(version in known.versions for known in damage) and (
            found := _rows_damage(reader, version)
        ):
            damage.append(Damage(found, (version,)))
    on_progress(checks, checks)
    return damage


def find_garbage(home: Home, catalog: Catalog, unneeded: Collection[DatasetVersion]) -> Garbage:
    """Files that no version needs once `unneeded` are gone, and what writers that died left behind."""
    with catalog.open() as db:
        kept = [version for version in catalog.select_versions(db) if version not in unneeded]
        segments = {name for version in kept for name in version.segments}
        manifests = {manifest_path(home, version.fingerprint) for version in kept if version.manifest_sha256}
        needed = manifests | {
            path(home.rows_dir, name) for name in segments for path in (rows_path, hashes_path)
        }
        files = [
            path
            for folder in (home.rows_dir, home.manifests_dir)
            for path in sorted(folder.iterdir())
            if path not in needed and not _is_being_written(path)
        ]
    return Garbage(tuple(unneeded), tuple(files), sum(path.stat().st_size for path in files))


def collect(home: Home, catalog: Catalog, unneeded: Collection[DatasetVersion]) -> Garbage:
    """Remove what `find_garbage` finds: versions from the catalog first, then the files."""
    with catalog.change() as db:
        for version in unneeded:
            db.execute(
                "delete from versions where name = $1 and version = $2", [version.name, version.version]
            )
            db.execute(f'drop view if exists "{version}"')
        kept = catalog.select_versions(db)
        used = {name for version in kept for name in version.segments}
        known = [row[0] for row in db.execute("select fingerprint from segments").fetchall()]
        for name in select_segments(db, [name for name in known if name not in used]):
            db.execute("delete from segments where fingerprint = $1", [name])
    garbage = find_garbage(home, catalog, ())
    with catalog.open():  # nobody publishes meanwhile
        for path in garbage.files:
            path.unlink(missing_ok=True)
    return Garbage(tuple(unneeded), garbage.files, garbage.num_bytes)


def needed_versions(
    versions: Iterable[DatasetVersion], keep: int, is_used: Callable[[DatasetVersion], bool]
) -> set[tuple[str, int]]:
    """The newest `keep` of each name, and those that `is_used` (a tag, a model) names."""
    by_name: dict[str, list[DatasetVersion]] = {}
    for version in versions:
        by_name.setdefault(version.name, []).append(version)
    newest = {(v.name, v.version) for found in by_name.values() for v in found[-keep:]}
    return newest | {(v.name, v.version) for found in by_name.values() for v in found if is_used(v)}


def _segment_damage(home: Home, segment: Segment, hasher: RowHasher | None) -> str | None:
    try:
        require_unchanged(rows_path(home.rows_dir, segment.fingerprint), segment)
        read_hashes(home.rows_dir, segment)
        if hasher is not None:
            prove_segment(home.rows_dir, segment, hasher)
    except DataError as error:
        return error.found
    return None


def _rows_damage(reader: Reader, version: DatasetVersion) -> str | None:
    try:
        reader.hashes(version)
    except DataError as error:
        return error.found
    return None


def _is_being_written(path: Path) -> bool:
    """A temporary file carries its writer's process id; that of a dead one is garbage."""
    owner = path.name.split(".")[1] if path.name.startswith(".") else ""
    return owner.isdigit() and psutil.pid_exists(int(owner))
