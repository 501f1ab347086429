"""What differs between two versions: rows added, removed, and changed in their place.

Rows that both versions take from the same place of a segment are equal without being looked at; only the
others are compared, by hash. A removed and an added row are one changed row when they have the same key, or,
without a key, when they stand in the same place between rows that did not change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.manifests import Integers
from infra.warehouse.reading import Reader, require_columns
from infra.warehouse.row_hashes import Hashes, words_of

_UNMATCHED = """
with numbered_old as (select *, row_number() over (partition by first, second order by row) as nth from old),
     numbered_new as (select *, row_number() over (partition by first, second order by row) as nth from new)
select row, true as is_old from numbered_old anti join numbered_new using (first, second, nth)
union all
select row, false from numbered_new anti join numbered_old using (first, second, nth)
order by row
"""

_SAME_KEY = """
with numbered_old as (select *, row_number() over (partition by key order by row) as nth from old),
     numbered_new as (select *, row_number() over (partition by key order by row) as nth from new)
select o.row, n.row from numbered_old as o join numbered_new as n using (key, nth)
where key is not null order by o.row
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """Row numbers (from 0): `removed` and `changed[:, 0]` in the old version, the others in the new one."""

    added: Integers
    removed: Integers
    changed: Integers
    num_same: int
    is_same_order: bool
    """Whether the rows that both have stand in the same order."""


def compare(reader: Reader, old: DatasetVersion, new: DatasetVersion, key: str | None = None) -> Difference:
    """The difference of two versions as multisets of rows. Raises DataError for a key that is no column."""
    old_rows, new_rows = _candidates(reader, old, new)
    removed, added = _unmatched(reader, old, old_rows, new, new_rows)
    same_old = np.setdiff1d(np.arange(old.num_rows), removed, assume_unique=True)
    same_new = np.setdiff1d(np.arange(new.num_rows), added, assume_unique=True)
    is_same_order = _are_same(reader, (old, same_old), (new, same_new))
    if key is not None:
        pairs = _same_key(_keys(reader, old, removed, key), _keys(reader, new, added, key))
    elif is_same_order:
        pairs = _same_place(removed, same_old, added, same_new)
    else:
        pairs = np.empty((0, 2), np.int64)
    return Difference(
        added=np.setdiff1d(added, pairs[:, 1]),
        removed=np.setdiff1d(removed, pairs[:, 0]),
        changed=pairs,
        num_same=len(same_old),
        is_same_order=is_same_order,
    )


def _candidates(reader: Reader, old: DatasetVersion, new: DatasetVersion) -> tuple[Integers, Integers]:
    """Rows that are not the same place of the same segment, equally often, on both sides."""
    manifests = reader.manifest(old), reader.manifest(new)
    sizes = {name: s.num_rows for v in (old, new) for name, s in reader.segments(v).items()}
    differs: dict[str, NDArray[np.bool_]] = {}
    for name, size in sizes.items():
        counts = [
            manifest.counts(manifest.segments.index(name), size)
            if name in manifest.segments
            else np.zeros(size)
            for manifest in manifests
        ]
        differs[name] = counts[0] != counts[1]
    found: list[Integers] = []
    for manifest in manifests:
        segment, position = manifest.positions()
        before = np.concatenate([[0], np.cumsum([sizes[name] for name in manifest.segments])]).astype(
            np.int64
        )
        flags = np.concatenate([differs[name] for name in manifest.segments])
        found.append(np.flatnonzero(flags[before[segment] + position]))
    return found[0], found[1]


def _unmatched(
    reader: Reader, old: DatasetVersion, old_rows: Integers, new: DatasetVersion, new_rows: Integers
) -> tuple[Integers, Integers]:
    if len(old_rows) == 0 and len(new_rows) == 0:
        return old_rows, new_rows
    with duckdb.connect(":memory:") as db:
        db.register("old", _hash_table(reader.hashes(old), old_rows))
        db.register("new", _hash_table(reader.hashes(new), new_rows))
        found = db.sql(_UNMATCHED).fetchnumpy()
    rows, is_old = found["row"].astype(np.int64), found["is_old"].astype(bool)
    return rows[is_old], rows[~is_old]


def _are_same(
    reader: Reader, old: tuple[DatasetVersion, Integers], new: tuple[DatasetVersion, Integers]
) -> bool:
    """Whether the rows common to both stand in one order, by the place they are stored at or else by hash."""
    places: list[list[tuple[str, Integers, Integers]]] = []
    for version, rows in (old, new):
        manifest = reader.manifest(version)
        segment, position = manifest.positions()
        places.append([(",".join(manifest.segments), segment[rows], position[rows])])
    (first,), (second,) = places
    if first[0] == second[0] and np.array_equal(first[1], second[1]) and np.array_equal(first[2], second[2]):
        return True
    return bool(np.array_equal(reader.hashes(old[0])[old[1]], reader.hashes(new[0])[new[1]]))


def _same_place(removed: Integers, same_old: Integers, added: Integers, same_new: Integers) -> Integers:
    """Pairs (removed, added): the n-th of each between the same two unchanged rows."""
    gaps = [np.searchsorted(same, rows) for rows, same in ((removed, same_old), (added, same_new))]
    keys = [pa.table({"row": rows, "key": gap}) for rows, gap in zip((removed, added), gaps, strict=True)]
    return _same_key(keys[0], keys[1])


def _same_key(old: pa.Table, new: pa.Table) -> Integers:
    with duckdb.connect(":memory:") as db:
        db.register("old", old)
        db.register("new", new)
        pairs = db.sql(_SAME_KEY).fetchall()
    return np.array(pairs, np.int64).reshape(-1, 2)


def _keys(reader: Reader, version: DatasetVersion, rows: Sequence[int] | Integers, key: str) -> pa.Table:
    require_columns(version, [key])
    keys = reader.read(version, [key])
    return pa.table({"row": rows, "key": keys.column(key).take(pa.array(rows))})


def _hash_table(hashes: Hashes, rows: Integers) -> pa.Table:
    words = words_of(hashes[rows])
    return pa.table({"first": words[:, 0].copy(), "second": words[:, 1].copy(), "row": rows})
