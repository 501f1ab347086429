"""Make what damage has touched readable again, once its rows stand somewhere else.

A row is known by its hash, so what a segment has lost may be taken from any other. A segment all of whose rows
are found is written again under its name, which repairs every version that shares it. Where some are not, the
versions that need only rows that are found are pointed at those.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from data_contracts.errors import DataError
from infra.home import Home
from infra.warehouse.catalog import Catalog, DatasetVersion, select_segments_like
from infra.warehouse.committing import is_manifest_intact, move_rows, name_segment
from infra.warehouse.known_rows import KnownRows
from infra.warehouse.manifests import Manifest, join_rows
from infra.warehouse.reading import Reader
from infra.warehouse.row_hashes import Hashes, RowHasher
from infra.warehouse.segments import Segment, SegmentWriter, is_intact, read_hashes, read_segment


def repair_segments(home: Home, catalog: Catalog, damaged: Sequence[Segment], given: DatasetVersion) -> None:
    """Repair what can be of damaged segments now that `given` is published, whose columns they have.

    Rows are looked for in all intact segments of these columns, whatever dataset they belong to.
    """
    if not damaged:
        return
    reader = Reader(home, catalog)
    with catalog.open() as db:
        alike = select_segments_like(db, given.columns)
    intact = [segment for segment in alike if is_intact(home.rows_dir, segment)]
    names, known = [segment.fingerprint for segment in intact], KnownRows(home.rows_dir, intact)
    for segment in damaged:
        if segment.fingerprint in names:  # written again by the publish
            continue
        if (rows := _own_rows(home, segment)) is not None:
            _write_again(home, catalog, [rows], _hash(rows))
        elif (hashes := _hashes_of(home, reader, segment, given)) is not None:
            index, position = known.find(hashes)
            if (index >= 0).all():
                pieces = reader.rows_at(given, join_rows(names, index, position))
                _write_again(home, catalog, pieces, hashes)
            else:
                _move_versions(home, catalog, (segment.fingerprint, hashes), names, known)


def _own_rows(home: Home, segment: Segment) -> pa.Table | None:
    """The segment's rows, where only their hashes are damaged."""
    try:
        return read_segment(home.rows_dir, segment)
    except DataError:
        return None


def _hash(rows: pa.Table) -> Hashes:
    hasher = RowHasher()
    try:
        return hasher.hash_rows(rows)
    finally:
        hasher.close()


def _hashes_of(home: Home, reader: Reader, segment: Segment, given: DatasetVersion) -> Hashes | None:
    """What a segment's rows were, as stored or as just given; None where nothing tells any more."""
    if segment.fingerprint == given.fingerprint:
        return reader.hashes(given)
    try:
        return read_hashes(home.rows_dir, segment)
    except DataError:
        return None


def _write_again(home: Home, catalog: Catalog, pieces: Iterable[pa.Table], hashes: Hashes) -> None:
    writer, done = None, 0
    try:
        for piece in pieces:
            writer = writer or SegmentWriter(home.rows_dir, piece.schema)
            writer.add(piece, hashes[done : done + piece.num_rows])
            done += piece.num_rows
        assert writer is not None
        segment = writer.finish()
        with catalog.change() as db:
            name_segment(db, home, writer, segment)
    finally:
        if writer is not None:
            writer.abandon()


def _move_versions(
    home: Home, catalog: Catalog, lost: tuple[str, Hashes], names: Sequence[str], known: KnownRows
) -> None:
    """Point versions that need only some of a lost segment's rows at where those stand."""
    reader = Reader(home, catalog)
    with catalog.change() as db:
        for version in catalog.select_versions(db, "list_contains(segments, $1)", [lost[0]]):
            if version.is_whole_segment or not is_manifest_intact(home, version):
                continue
            moved = _moved(reader.manifest(version), lost, names, known)
            if moved is not None:
                move_rows(db, home, version, moved)


def _moved(
    manifest: Manifest, lost: tuple[str, Hashes], names: Sequence[str], known: KnownRows
) -> Manifest | None:
    """The same rows with none in the lost segment; None when one of them stands nowhere else."""
    lost_name, hashes = lost
    segment, position = manifest.positions()
    is_lost = segment == manifest.segments.index(lost_name)
    index, place = known.find(hashes[position[is_lost]])
    if (index < 0).any():
        return None
    numbers = {name: number for number, name in enumerate(manifest.segments)}
    number = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    segment[is_lost], position[is_lost] = number[index], place
    return join_rows(list(numbers), segment, position)
