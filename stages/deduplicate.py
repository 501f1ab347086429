"""Duplicates within and across sources: which rows to keep, and for each other row the kept one it repeats.

Sources are in order of priority. Of rows that repeat each other the first stays: by source, then by row.

`exact` compares texts after NFC, case folding and collapsing of white space. Punctuation stays, and so do the
compatibility forms that NFKC would fold: "(a + b)c" and "a + (b)c", or "x²" and "x2", are not the same.
`near` also joins texts that share most of their word 5-grams (see `near_pairs`), and rows linked through others.
Word 5-grams, not characters: with one number changed, 34 % of MATH-500's problems still reach 0.8 in word 5-grams,
92 % in character 5-grams, and each would be taken for a duplicate although its ground truth differs. Long rows with
one number changed always are: what is `near` deserves a look where numbers matter.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.characters import Flags, Positions
from stages.near_pairs import near_pairs
from stages.row_texts import exact_text
from stages.shingles import shingle_sets, similarities, without_boilerplate
from stages.words import Texts

Method = Literal["exact", "near"]

REMOVED_SCHEMA = pa.schema(
    {
        "source": pa.string(),
        "row": pa.int64(),
        "duplicate_of_source": pa.string(),
        "duplicate_of_row": pa.int64(),
        "kind": pa.string(),
        "similarity": pa.float64(),
        "cluster": pa.int64(),
    }
)
"""`similarity` is to the kept row. Below the threshold it means that the row is linked to it through others."""

CLUSTER_SCHEMA = pa.schema(
    {"cluster": pa.int64(), "source": pa.string(), "row": pa.int64(), "size": pa.int64(), "exact": pa.int64()}
)
"""`source` and `row` name the kept row, `size` counts it too; `exact` counts its exact repetitions."""


@dataclass(frozen=True, slots=True)
class NamedTexts:
    """One source: what counts as each row's text is the caller's choice."""

    name: str
    texts: Texts
    """Strings; null counts as the empty text."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What to keep, and why the rest goes."""

    keep: Mapping[str, Flags]
    """By source: one flag a row."""

    removed: pa.Table
    """One row for each removed one, in the order of the sources (REMOVED_SCHEMA)."""

    clusters: pa.Table
    """Largest first (CLUSTER_SCHEMA)."""

    num_boilerplate: int
    """Word 5-grams that counted for no text, because too many different texts have them."""


def find_duplicates(
    sources: Sequence[NamedTexts],
    method: Method,
    *,
    threshold: float = 0.8,
    boilerplate_share: float = 0.01,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Duplicates:
    """Find what to drop. The same input and seed give the same result on any machine.

    `threshold`: least Jaccard similarity of word 5-grams for `near`. `boilerplate_share`: 5-grams in more than this
    share of the different texts (and in over 100) count for none; 1 makes all count. `on_progress(done, total)`
    counts passes over rows. Memory: about 2 kB a row of 150 words. Texts without words are only ever exact.
    """
    num_rows = sum(len(source.texts) for source in sources)
    report = on_progress or _silent
    first_equal = _first_equal(sources)
    kept_for, scores, num_boilerplate = first_equal, np.ones(num_rows), 0
    report(num_rows, num_rows * (3 if method == "near" else 1))
    if method == "near":
        different = np.flatnonzero(first_equal == np.arange(num_rows))
        texts = _take(sources, different)
        sets = shingle_sets(texts, lambda done: report(num_rows + done, 3 * num_rows))
        sets, num_boilerplate = without_boilerplate(sets, boilerplate_share)
        linked = near_pairs(
            sets,
            threshold,
            seed,
            lambda band, bands: report(num_rows * 2 + num_rows * band // bands, 3 * num_rows),
        )
        representative = _first_of_each(linked.components)
        position = np.searchsorted(different, first_equal)
        kept_for = different[representative[position]]
        scores = similarities(sets, representative, np.arange(len(different)))[position]
    scores[first_equal == kept_for] = 1.0
    return _report(sources, first_equal, kept_for, scores, num_boilerplate)


def _silent(done: int, total: int) -> None:
    del done, total


def exact_key(text: str) -> bytes:
    """Equal for texts that are exact duplicates; 16 bytes of BLAKE2b."""
    return hashlib.blake2b(exact_text(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _first_equal(sources: Sequence[NamedTexts]) -> Positions:
    """For every row, counted across sources, the first with an equal text."""
    first: dict[bytes, int] = {}
    positions = list[int]()
    for source in sources:
        for start in range(0, len(source.texts), 4096):
            for text in source.texts.slice(start, 4096).to_pylist():
                positions.append(first.setdefault(exact_key(text or ""), len(positions)))
    return np.array(positions, np.int64)


def _take(sources: Sequence[NamedTexts], positions: Positions) -> pa.ChunkedArray:
    chunks = [
        chunk
        for source in sources
        for chunk in (source.texts.chunks if isinstance(source.texts, pa.ChunkedArray) else [source.texts])
    ]
    everything = pa.chunked_array([chunk.cast(pa.large_string()) for chunk in chunks], pa.large_string())
    return everything.take(pa.array(positions))


def _first_of_each(components: NDArray[np.int32]) -> Positions:
    _, first, inverse = np.unique(components, return_index=True, return_inverse=True)
    return first[inverse]


def _report(
    sources: Sequence[NamedTexts],
    first_equal: Positions,
    kept_for: Positions,
    scores: NDArray[np.float64],
    num_boilerplate: int,
) -> Duplicates:
    names = np.array([source.name for source in sources])
    starts = np.concatenate(([0], np.cumsum([len(source.texts) for source in sources])))
    rows = np.arange(len(kept_for))
    is_removed = kept_for != rows
    kept, sizes = np.unique(kept_for, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 1]
    rank = np.full(len(rows), -1)
    rank[kept[order]] = np.arange(len(order))
    is_exact = is_removed & (first_equal == kept_for)
    num_exact = np.bincount(kept_for[is_exact], minlength=len(rows))

    def place(positions: Positions) -> tuple[pa.Array, pa.Array]:
        owner = np.searchsorted(starts, positions, side="right") - 1
        return pa.array(names[owner].tolist(), pa.string()), pa.array(positions - starts[owner])

    gone = rows[is_removed]
    kinds = pa.array(np.where(is_exact[gone], "exact", "near").tolist(), pa.string())
    removed = [
        *place(gone),
        *place(kept_for[gone]),
        kinds,
        pa.array(scores[gone]),
        pa.array(rank[kept_for[gone]]),
    ]
    clusters = [
        pa.array(np.arange(len(order))),
        *place(kept[order]),
        pa.array(sizes[order]),
        pa.array(num_exact[kept[order]]),
    ]
    return Duplicates(
        keep={
            source.name: ~is_removed[start : start + len(source.texts)]
            for source, start in zip(sources, starts, strict=False)
        },
        removed=pa.table(removed, schema=REMOVED_SCHEMA),
        clusters=pa.table(clusters, schema=CLUSTER_SCHEMA),
        num_boilerplate=num_boilerplate,
    )
