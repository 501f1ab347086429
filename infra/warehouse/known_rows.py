"""Where a row stands already, by its hash: a sorted table of the rows of some segments."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from infra.warehouse.manifests import Integers
from infra.warehouse.row_hashes import HASH_TYPE, Hashes, halves_of
from infra.warehouse.segments import Segment, read_hashes


class KnownRows:
    """Looks hashes up by their first 64 bits and compares the other 64.

    Of two rows that agree in the first half alone (one in 2^64 pairs) only one is found: the other is stored
    a second time, which costs space and nothing else.
    """

    def __init__(self, folder: Path, segments: Sequence[Segment]) -> None:
        hashes = [read_hashes(folder, segment) for segment in segments]
        first, second = halves_of(np.concatenate([*hashes, np.empty(0, HASH_TYPE)]))
        order = np.argsort(first, kind="stable")
        self._first, self._second = first[order], second[order]
        self._segment = np.repeat(np.arange(len(hashes)), [len(part) for part in hashes])[order]
        position = [np.arange(len(part)) for part in hashes]
        self._position = np.concatenate([*position, np.empty(0, np.int64)]).astype(np.int64)[order]

    def find(self, hashes: Hashes) -> tuple[Integers, Integers]:
        """Index of the segment and row in it for each hash; both -1 where the row is not known."""
        segment, position = np.full(len(hashes), -1), np.full(len(hashes), -1)
        if len(self._first) == 0:
            return segment, position
        first, second = halves_of(hashes)
        place = np.minimum(np.searchsorted(self._first, first), len(self._first) - 1)
        is_known = (self._first[place] == first) & (self._second[place] == second)
        segment[is_known] = self._segment[place[is_known]]
        position[is_known] = self._position[place[is_known]]
        return segment, position
