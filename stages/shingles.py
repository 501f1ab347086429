"""Each text as the set of its word 5-grams, and the Jaccard similarity of such sets.

Rows made from one long template resemble each other in the template alone, and measuring their similarity helps
nothing there: they ARE alike. So a 5-gram that stands in a large share of the different texts can be left out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from stages.characters import Hashes, Positions
from stages.words import Texts, Words, ngrams, word_batches

SHINGLE_WORDS = 5
_BOILERPLATE_TEXTS = 100
_SKETCH_BITS = 24
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class ShingleSets:
    """The shingles of text r are `shingles[offsets[r]:offsets[r + 1]]`: sorted, each once, below 2^62."""

    shingles: Hashes
    offsets: Positions

    def sizes(self) -> Positions:
        """Number of shingles of each text."""
        return np.diff(self.offsets)


def shingle_sets(texts: Texts, on_rows: Callable[[int], None]) -> ShingleSets:
    """Word 5-grams of every text. A shorter text is one shingle as a whole; one without words has none."""
    shingles, counts = list[Hashes](), list[Positions]()
    for first, batch, words in word_batches(texts):
        hashes, rows = _shingles(words)
        order = np.lexsort((hashes, rows))
        hashes, rows = hashes[order], rows[order]
        is_new = np.ones(len(rows), bool)
        is_new[1:] = (rows[1:] != rows[:-1]) | (hashes[1:] != hashes[:-1])
        shingles.append(hashes[is_new])
        counts.append(np.bincount(rows[is_new], minlength=len(batch)))
        on_rows(first + len(batch))
    return _sets(shingles, counts)


def without_boilerplate(sets: ShingleSets, share: float) -> tuple[ShingleSets, int]:
    """Drop shingles that stand in more than `share` of the texts (and in more than 100), and count them.

    Frequencies come from a table of 2^24 counters, where one shingle in a thousand may share its counter: below a
    million texts of a hundred shingles that moves none across the limit. A text that is boilerplate throughout
    keeps its shingles, since nothing else is left to compare.
    """
    slots = (sets.shingles >> np.uint64(62 - _SKETCH_BITS)).astype(np.int32)
    limit = max(_BOILERPLATE_TEXTS, share * len(sets.sizes()))
    is_common = (np.bincount(slots, minlength=1 << _SKETCH_BITS) > limit)[slots]
    rows = np.repeat(np.arange(len(sets.sizes())), sets.sizes())
    num_common = np.bincount(rows[is_common], minlength=len(sets.sizes()))
    is_common &= (num_common < sets.sizes())[rows]
    counts = np.bincount(rows[~is_common], minlength=len(sets.sizes()))
    return _sets([sets.shingles[~is_common]], [counts]), len(np.unique(sets.shingles[is_common]))


def similarities(sets: ShingleSets, left: Positions, right: Positions) -> NDArray[np.float64]:
    """Jaccard similarity of the sets of each pair of positions."""
    matrix = incidence(sets)
    blocks = [
        jaccard(matrix, left[start : start + _BLOCK], right[start : start + _BLOCK])
        for start in range(0, len(left), _BLOCK)
    ]
    return np.concatenate([np.empty(0), *blocks])


def incidence(sets: ShingleSets) -> csr_array:
    """Texts × shingles, of ones. Columns are the hashes themselves: they are never looked up, only merged."""
    indices = sets.shingles.view(np.int64)
    matrix = csr_array(
        (np.ones(len(indices), np.int32), indices, sets.offsets), shape=(len(sets.sizes()), 1 << 62)
    )
    matrix.has_canonical_format = True
    return matrix


def jaccard(matrix: csr_array, left: Positions, right: Positions) -> NDArray[np.float64]:
    """Shared over joint shingles of each pair of rows of an `incidence` matrix."""
    sizes = np.diff(matrix.indptr)
    shared = np.concatenate(
        [np.empty(0, np.int64)]
        + [
            np.diff((matrix[left[start : start + 8192]] * matrix[right[start : start + 8192]]).indptr)
            for start in range(0, len(left), 8192)
        ]
    )
    return shared / np.maximum(sizes[left] + sizes[right] - shared, 1)


def _shingles(words: Words) -> tuple[Hashes, Positions]:
    hashes, first_words = ngrams(words, SHINGLE_WORDS)
    parts, rows = [hashes], [words.rows[first_words]]
    lengths = np.diff(words.offsets)
    for length in range(1, SHINGLE_WORDS):
        short_hashes, short_words = ngrams(words, length)
        is_whole = lengths[words.rows[short_words]] == length
        parts.append(short_hashes[is_whole])
        rows.append(words.rows[short_words[is_whole]])
    return np.concatenate(parts) >> np.uint64(2), np.concatenate(rows)


def _sets(shingles: list[Hashes], counts: list[Positions]) -> ShingleSets:
    sizes = np.concatenate([np.empty(0, np.int64), *counts])
    return ShingleSets(
        np.concatenate([np.empty(0, np.uint64), *shingles]), np.concatenate(([0], np.cumsum(sizes)))
    )
