"""Is every byte of the warehouse what was published?"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from data_contracts.errors import DataError
from infra.home import Home
from infra.warehouse.catalog import Catalog, DatasetVersion, select_segments
from infra.warehouse.reading import Reader, prove_segment
from infra.warehouse.row_hashes import RowHasher
from infra.warehouse.segments import Segment, read_hashes, require_unchanged, rows_path

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it was published, and the versions that need it."""

    found: str
    versions: tuple[DatasetVersion, ...]


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
    with catalog.open() as db:
        segments = select_segments(db, list({name for version in versions for name in version.segments}))
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
    with catalog.open() as db:
        there = {(v.name, v.version) for v in catalog.select_versions(db)}
    still = [(d.found, tuple(v for v in d.versions if (v.name, v.version) in there)) for d in damage]
    return [Damage(found, left) for found, left in still if left]  # the others were collected meanwhile


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
