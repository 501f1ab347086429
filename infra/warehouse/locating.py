"""Where rows stand: every version that holds rows of these hashes, or of this source.

Hashes lie beside each segment, so nothing is decoded; a segment is searched once, however many versions have it.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import NotFoundError, RecipeError
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.manifests import Integers
from infra.warehouse.row_hashes import HASH_BYTES, HASH_TYPE, Hashes, halves_of
from infra.warehouse.segments import Segment, read_hashes, read_segment
from infra.warehouse.warehouse import Warehouse

Mask: TypeAlias = NDArray[np.bool_]
Matches = Callable[[Segment], Mask]

SHORTEST_PREFIX = 8
"""Hexadecimal digits of a row's hash that a person has to give."""


@dataclass(frozen=True, slots=True)
class HeldRows:
    """Some rows of a version."""

    version: DatasetVersion
    rows: Integers
    """Positions, ascending."""


class HashSet:
    """Looks many hashes up: by their first 64 bits, then the others.

    Of two members that agree in the first half alone (one in 2^64 pairs) only one is found.
    """

    def __init__(self, hashes: Hashes) -> None:
        first, second = halves_of(hashes)
        order = np.argsort(first, kind="stable")
        self._first, self._second = first[order], second[order]

    def contains(self, hashes: Hashes) -> Mask:
        """[rows] Whether each is a member."""
        if len(self._first) == 0:
            return np.zeros(len(hashes), np.bool_)
        first, second = halves_of(hashes)
        place = np.minimum(np.searchsorted(self._first, first), len(self._first) - 1)
        return (self._first[place] == first) & (self._second[place] == second)


def find_rows(warehouse: Warehouse, matches: Matches) -> list[HeldRows]:
    """Rows that match in all versions, by name, oldest first; versions without any are left out."""
    versions = warehouse.versions()
    names = dict.fromkeys(name for version in versions for name in version.segments)
    masks: dict[str, Mask] = {}
    for name, segment in warehouse.catalog.segments(list(names)).items():
        mask = matches(segment)
        if mask.any():
            masks[name] = mask
    found = [(version, _positions(warehouse, version, masks)) for version in versions]
    return [HeldRows(version, rows) for version, rows in found if len(rows)]


def find_row(warehouse: Warehouse, prefix: str) -> tuple[bytes, list[HeldRows]]:
    """The row whose hash begins with these hexadecimal digits, and where it stands.

    Raises RecipeError for what is no such prefix, NotFoundError for no row or several.
    """
    digits = prefix.lower()
    if not SHORTEST_PREFIX <= len(digits) <= 2 * HASH_BYTES or set(digits) - set("0123456789abcdef"):
        raise RecipeError(
            f"{prefix!r} is no row hash.",
            f"{2 * HASH_BYTES} hexadecimal digits, or their first {SHORTEST_PREFIX} or more",
            "`burnish lineage MODEL --rows 5` shows rows with their hashes.",
        )
    seen: set[bytes] = set()

    def matches(segment: Segment) -> Mask:
        hashes = read_hashes(warehouse.home.rows_dir, segment)
        mask = _begins_with(hashes, digits)
        seen.update(item.tobytes() for item in hashes[mask])
        return mask

    held = find_rows(warehouse, matches)
    if len(seen) != 1:
        raise NotFoundError(
            f"{len(seen) or 'No'} rows have a hash that begins with {digits}.",
            "one row" if not seen else f"more digits: {', '.join(sorted(h.hex() for h in seen)[:4])}",
            "See `burnish lineage MODEL --rows 5`." if not seen else "",
        )
    return seen.pop(), held


def in_hashes(warehouse: Warehouse, hashes: Hashes) -> Matches:
    """Rows with one of these hashes."""
    members = HashSet(hashes)
    return lambda segment: members.contains(read_hashes(warehouse.home.rows_dir, segment))


def of_source(warehouse: Warehouse, source: str) -> Matches:
    """Rows whose column `source` says this."""

    def matches(segment: Segment) -> Mask:
        if "source" not in {name for name, _ in json.loads(segment.columns)}:
            return np.zeros(segment.num_rows, np.bool_)
        table = read_segment(warehouse.home.rows_dir, segment, ["source"])
        return names_source(table.column("source"), {source})

    return matches


def names_source(column: pa.ChunkedArray, sources: Collection[str]) -> Mask:
    """[rows] Whether a row's source is one of these."""
    return np.fromiter((source in sources for source in column.to_pylist()), np.bool_, len(column))


def hashes_from(content: bytes) -> Hashes:
    """Hashes written one after the other."""
    return np.frombuffer(content, HASH_TYPE)


def _positions(warehouse: Warehouse, version: DatasetVersion, masks: dict[str, Mask]) -> Integers:
    if not masks.keys() & set(version.segments):
        return np.empty(0, np.int64)
    manifest = warehouse.reader.manifest(version)
    segment, position = manifest.positions()
    is_held = np.zeros(len(segment), np.bool_)
    for index, name in enumerate(manifest.segments):
        if name in masks:
            own = segment == index
            is_held[own] = masks[name][position[own]]
    return np.flatnonzero(is_held)


def _begins_with(hashes: Hashes, digits: str) -> Mask:
    words = np.ascontiguousarray(hashes).view(">u8").reshape(-1, 2)
    mask = np.ones(len(hashes), np.bool_)
    for column, part in enumerate((digits[:16], digits[16:])):
        if part:
            mask &= (words[:, column] >> np.uint64(64 - 4 * len(part))) == np.uint64(int(part, 16))
    return mask
