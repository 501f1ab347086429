"""One pass over training rows that finds every pair of a row and an evaluation problem worth a closer look.

It costs the same for one problem as for ten thousand: words are hashed for a million characters at a time and looked
up in sorted tables of the problems' n-grams.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.characters import Flags, Hashes, Positions
from stages.contamination import Decontamination, Kind
from stages.deduplicate import exact_key
from stages.overlap import LEAST_NEAR_GRAMS, SENTENCE_WORDS
from stages.problem_index import GramTable, ProblemIndex
from stages.words import Texts, Words, ngrams, without_numbers, word_batches

_NEAR_WORDS = 3
_NGRAMS: dict[Kind, int] = {"8-gram": 8, "13-gram": 13, "template": 8}
_COPY = 0.8

Pairs = tuple[Positions, Positions]
"""Training rows and problems, by position."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """What one pass over the training rows found."""

    tables: dict[Kind, GramTable]
    pairs: dict[Kind, Pairs]


def propose(
    training: Texts,
    index: ProblemIndex,
    prompts: Texts | None,
    on_progress: Callable[[int, int], None] | None,
) -> Proposals:
    """One pass over all rows. Tables come back without the phrases that turned out to be boilerplate of the rows."""
    settings = index.settings
    tables: dict[Kind, GramTable] = {
        kind: index.table(n, masked=kind == "template")
        for kind, n in _NGRAMS.items()
        if kind in settings.methods
    }
    if "near" in settings.methods:
        tables["near"] = index.table(_NEAR_WORDS)
    anchors = index.anchors(SENTENCE_WORDS) if "exact" in settings.methods else []
    shared: dict[Kind, list[Pairs]] = {kind: [] for kind in tables}
    exact: list[Pairs] = []
    near: list[Pairs] = []
    for first, batch, words in word_batches(training):
        masked = without_numbers(words) if "template" in tables else words
        grams = {n: ngrams(words, n) for n in {t.n for t in [*tables.values(), *anchors]}}
        for kind, table in tables.items():
            rows, found = (
                _grams_by_row(table, masked, ngrams(masked, 8))
                if kind == "template"
                else _grams_by_row(table, words, grams[table.n])
            )
            if kind == "near":
                pair_rows, problems, counts = table.pairs(rows, found)
                needed = np.maximum(settings.least_containment * table.num_grams[problems], LEAST_NEAR_GRAMS)
                near.append((pair_rows[counts >= needed] + first, problems[counts >= needed]))
            else:
                shared[kind].append((rows + first, found))
        for anchor in anchors:
            rows, found = _grams_by_row(anchor, words, grams[anchor.n])
            pair_rows, problems, _ = anchor.pairs(rows, found)
            exact.append((pair_rows + first, problems))
        if on_progress:
            on_progress(first + len(batch), len(training))
    pairs: dict[Kind, Pairs] = {"exact": _joined(exact), "near": _joined(near)}
    for kind in _NGRAMS:
        if kind not in tables:
            continue
        rows, found = _joined(shared[kind])
        is_common = _common_in_training(
            tables[kind], rows, found, training if prompts is None else prompts, settings
        )
        kept = ~is_common[found]
        pair_rows, problems, counts = tables[kind].pairs(rows[kept], found[kept])
        tables[kind] = tables[kind].without(is_common)
        pairs[kind] = _worth_a_look(kind, tables[kind], (pair_rows, problems), counts, index)
    return Proposals(tables, pairs)


def _worth_a_look(
    kind: Kind, table: GramTable, pairs: Pairs, counts: Positions, index: ProblemIndex
) -> Pairs:
    """n-grams of n words can cover n words each: pairs that cannot reach the least coverage are dropped."""
    least = {"8-gram": index.settings.least_coverage, "template": index.settings.least_template}.get(
        kind, 0.0
    )
    words = index.masked if kind == "template" else index.words
    enough = (
        counts * table.n >= least * np.minimum(np.diff(words.offsets), table.num_grams * table.n)[pairs[1]]
    )
    return pairs[0][enough], pairs[1][enough]


def _grams_by_row(table: GramTable, words: Words, grams: tuple[Hashes, Positions]) -> Pairs:
    places, found = table.find(grams[0])
    size = max(len(table.grams), 1)
    keys = np.unique(words.rows[grams[1][places]] * size + found)
    return keys // size, keys % size


def _joined(parts: list[Pairs]) -> Pairs:
    none = np.empty(0, np.int64)
    return (
        np.concatenate([none, *(rows for rows, _ in parts)]),
        np.concatenate([none, *(others for _, others in parts)]),
    )


def _common_in_training(
    table: GramTable, rows: Positions, grams: Positions, prompts: Texts, settings: Decontamination
) -> Flags:
    """Grams in more than `common_rows` different prompts, not counting rows that hold most of a problem with it.

    A set may hold many completions of one problem, or many variants of it: copies never excuse each other.
    """
    pair_rows, problems, counts = table.pairs(rows, grams)
    is_copy = counts >= _COPY * table.num_grams[problems]
    copies = np.unique(pair_rows[is_copy])
    witness = ~np.isin(rows, copies)
    involved = np.unique(rows[witness])
    keys: dict[bytes, int] = {}
    texts = prompts.take(pa.array(involved)).to_pylist()
    ids = np.array([keys.setdefault(exact_key(text or ""), len(keys)) for text in texts], np.int64)
    size = len(keys) + 1
    different = np.unique(grams[witness] * size + ids[np.searchsorted(involved, rows[witness])]) // size
    return np.bincount(different, minlength=len(table.grams)) > settings.common_rows
