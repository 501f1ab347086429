"""Pairs of texts whose sets of word 5-grams have a Jaccard similarity of at least a threshold.

MinHash signatures (Broder 1997; `rensa`, full-set R-MinHash) cut into bands (Indyk & Motwani 1998) propose pairs;
each is then measured on the sets themselves, so that nothing below the threshold is ever reported. Bands are
chosen so that a pair exactly at the threshold is proposed with a probability of at least 99 %.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import rensa
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from stages.characters import Hashes, Positions, mixed
from stages.shingles import ShingleSets, incidence, jaccard

Progress = Callable[[int, int], None]
Signatures = NDArray[np.uint32]

_PERMUTATIONS = 128
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class NearPairs:
    """Pairs of texts (by position) at or above the threshold; not every pair of a cluster, but all its links."""

    left: Positions
    right: Positions
    similarities: NDArray[np.float64]
    components: NDArray[np.int32]
    """For every text: texts linked by pairs, directly or through others, have the same number."""


def near_pairs(sets: ShingleSets, threshold: float, seed: int, on_bands: Progress) -> NearPairs:
    """All links between texts of Jaccard similarity >= `threshold`, as far as the bands propose them."""
    num_bands, band_rows = bands_for(threshold)
    signatures = _signatures(sets, seed)
    matrix = incidence(sets)
    has_words = np.flatnonzero(sets.sizes() > 0)
    found = list[tuple[Positions, Positions, NDArray[np.float64]]]()
    components = np.arange(len(sets.sizes()), dtype=np.int32)
    for band in range(num_bands):
        keys = _band_keys(signatures[has_words, band * band_rows : (band + 1) * band_rows])
        order = np.argsort(keys, kind="stable")
        members, keys = has_words[order], keys[order]
        for propose in (_to_first, _to_each_other):
            for pairs in propose(members, keys, components):
                linked = _verified(matrix, signatures, components, pairs, threshold)
                found.append(linked)
                components = _merged(components, linked[0], linked[1])
        on_bands(band + 1, num_bands)
    left, right, similarities = (
        (np.concatenate(part) for part in zip(*found, strict=True)) if found else _NONE
    )
    return NearPairs(left, right, similarities, components)


def bands_for(threshold: float) -> tuple[int, int]:
    """The most selective bands and rows per band that still propose 99 % of pairs at the threshold."""
    for rows in range(_PERMUTATIONS, 1, -1):
        bands = _PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** bands >= 0.99:
            return bands, rows
    return _PERMUTATIONS, 1


_NONE = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def _signatures(sets: ShingleSets, seed: int) -> Signatures:
    signatures = np.empty((len(sets.sizes()), _PERMUTATIONS), np.uint32)
    for start in range(0, len(signatures), 4096):
        offsets = sets.offsets[start : start + 4097]
        digests = rensa.RMinHash.digest_matrix_from_flat_token_hashes(  # pyright: ignore[reportAttributeAccessIssue]
            sets.shingles[offsets[0] : offsets[-1]], offsets - offsets[0], _PERMUTATIONS, seed
        )
        signatures[start : start + 4096] = digests.to_rows()
    return signatures


def _band_keys(signatures: Signatures) -> Hashes:
    keys = np.zeros(len(signatures), np.uint64)
    for column in signatures.T:
        keys = mixed(keys ^ column)
    return keys


def _to_first(
    members: Positions, keys: Hashes, components: NDArray[np.int32]
) -> Iterator[tuple[Positions, Positions]]:
    """Each member of a bucket with the bucket's first: links most of a large cluster at linear cost."""
    del components
    _, starts, counts = np.unique(keys, return_index=True, return_counts=True)
    firsts = np.repeat(members[starts], counts)
    for start in range(0, len(members), _BLOCK):
        left, right = firsts[start : start + _BLOCK], members[start : start + _BLOCK]
        yield left[left != right], right[left != right]


def _to_each_other(
    members: Positions, keys: Hashes, components: NDArray[np.int32]
) -> Iterator[tuple[Positions, Positions]]:
    """Every member with the later ones of its bucket, where the bucket is not linked as a whole yet."""
    _, starts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    is_apart = components[members] != components[members[starts]][inverse]
    is_open = np.bincount(inverse, is_apart)[inverse] > 0
    members, keys = members[is_open], keys[is_open]
    ends = np.searchsorted(keys, keys, side="right")
    num_later = ends - np.arange(len(keys)) - 1
    totals = np.concatenate(([0], np.cumsum(num_later)))
    start = 0
    while start < len(keys):
        stop = min(len(keys), max(start + 1, int(np.searchsorted(totals, totals[start] + _BLOCK))))
        counts = num_later[start:stop]
        left = np.repeat(np.arange(start, start + len(counts)), counts)
        right = left + 1 + np.arange(len(left)) - np.repeat(totals[start:stop] - totals[start], counts)
        yield members[left], members[right]
        start = stop


def _verified(
    matrix: csr_array,
    signatures: Signatures,
    components: NDArray[np.int32],
    pairs: tuple[Positions, Positions],
    threshold: float,
) -> tuple[Positions, Positions, NDArray[np.float64]]:
    """Pairs not linked yet that reach the threshold: sizes and signatures rule out most before the sets are read.

    The signature's estimate may be four of its standard deviations too low before a pair is given up.
    """
    left, right = pairs
    sizes = np.diff(matrix.indptr)
    small, large = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
    open_pairs = (components[left] != components[right]) & (small >= threshold * large)
    left, right = left[open_pairs], right[open_pairs]
    least = threshold - 4 * (threshold * (1 - threshold) / _PERMUTATIONS) ** 0.5
    is_likely = _agreement(signatures, left, right) >= least
    left, right = left[is_likely], right[is_likely]
    exact = jaccard(matrix, left, right)
    return left[exact >= threshold], right[exact >= threshold], exact[exact >= threshold]


def _agreement(signatures: Signatures, left: Positions, right: Positions) -> NDArray[np.float64]:
    parts = [
        (signatures[left[start : start + 65536]] == signatures[right[start : start + 65536]]).mean(axis=1)
        for start in range(0, len(left), 65536)
    ]
    return np.concatenate([np.empty(0), *parts])


def _merged(components: NDArray[np.int32], left: Positions, right: Positions) -> NDArray[np.int32]:
    if not len(left):
        return components
    size = len(components)
    links = (np.ones(len(left), bool), (components[left], components[right]))
    _, labels = connected_components(coo_array(links, shape=(size, size)), directed=False)
    return labels[components]
