"""A manifest: which rows of which segments make a version, in order, as runs of neighbouring rows.

A version that differs from the one before in one row in a hundred is two runs longer per change, not a
second copy. A segment is a Parquet file of rows with the file of their hashes beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Run `i` is `length[i]` rows of `segments[segment[i]]` from row `start[i]` on."""

    segments: tuple[str, ...]
    segment: Integers
    start: Integers
    length: Integers

    @property
    def num_rows(self) -> int:
        return int(self.length.sum())

    def positions(self) -> tuple[Integers, Integers]:
        """Segment and row in it of every row, in order."""
        before = np.concatenate([[0], np.cumsum(self.length)[:-1]]).astype(np.int64)
        within = np.arange(self.num_rows) - np.repeat(before, self.length)
        return np.repeat(self.segment, self.length), np.repeat(self.start, self.length) + within

    def counts(self, segment: int, num_rows: int) -> Integers:
        """How often each row of a segment stands in the version."""
        runs = self.segment == segment
        edges = np.zeros(num_rows + 1, np.int64)
        np.add.at(edges, self.start[runs], 1)
        np.add.at(edges, self.start[runs] + self.length[runs], -1)
        return np.cumsum(edges)[:-1]

    def pieces(self, num_rows: int) -> Iterator["Manifest"]:
        """The same rows in order, cut into manifests of `num_rows` rows (the last may have fewer)."""
        segment, position = self.positions()
        for start in range(0, len(segment), num_rows):
            piece = slice(start, start + num_rows)
            yield join_rows(self.segments, segment[piece], position[piece])


def whole_segment(fingerprint: str, num_rows: int) -> Manifest:
    """The version that is one segment as it stands."""
    return Manifest((fingerprint,), np.array([0]), np.array([0]), np.array([num_rows]))


def join_rows(segments: Sequence[str], segment: Integers, position: Integers) -> Manifest:
    """Rows given one by one, neighbours joined to runs; segments that give no row are left out."""
    if len(segment) == 0:
        return Manifest((), *(np.empty(0, np.int64) for _ in range(3)))
    begins = np.flatnonzero(np.diff(segment) | (np.diff(position) != 1)) + 1
    begins = np.concatenate([[0], begins])
    length = np.diff(np.concatenate([begins, [len(segment)]]))
    used, renumbered = np.unique(segment[begins], return_inverse=True)
    names = tuple(segments[int(index)] for index in used)
    return Manifest(names, renumbered.astype(np.int64), position[begins], length)


def write_manifest(manifest: Manifest, path: Path) -> None:
    """As Parquet, so that any DuckDB client can follow it."""
    names = pa.DictionaryArray.from_arrays(
        pa.array(manifest.segment, pa.int32()), pa.array(manifest.segments, pa.string())
    )
    first_row = np.concatenate([[0], np.cumsum(manifest.length)[:-1]]).astype(np.int64)
    table = pa.table(
        {"segment": names, "start": manifest.start, "length": manifest.length, "first_row": first_row}
    )
    pq.write_table(table, path, compression="zstd")


def read_manifest(path: Path) -> Manifest:
    """Read what `write_manifest` wrote; its bytes are checked by the caller."""
    table = pq.read_table(path, read_dictionary=["segment"]).combine_chunks()
    names = table.column("segment").unify_dictionaries().combine_chunks()
    codes = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return Manifest(
        tuple(names.dictionary.to_pylist()),
        codes,
        table.column("start").to_numpy(),
        table.column("length").to_numpy(),
    )
