"""Find training rows that hold evaluation problems: one pass to propose pairs, a closer look at each of them.

Kinds and their sources: see `contamination`. The pass: `proposals`. The closer look: `overlap`.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.contamination import Contamination, Decontamination, EvaluationText, Kind
from stages.overlap import (
    Overlap,
    TextWords,
    containment,
    coverage,
    holds,
    same_numbers,
    spans,
    whole,
    words_of,
)
from stages.problem_index import GramTable, ProblemIndex, index_problems
from stages.proposals import Proposals, propose
from stages.words import Texts, read_words, without_numbers, word_batches


def find_contamination(
    training: Texts,
    evaluation: Sequence[EvaluationText],
    settings: Decontamination,
    *,
    prompts: Texts | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Contamination]:
    """Every pair of a training row and a problem, once for each kind, by row, problem and kind.

    `training`: one text a row, null counts as empty. `prompts`: the prompts of the same rows; with them, several
    completions of one prompt count once where boilerplate is told from copies. A `template` is listed only where no
    other kind found the pair. Problems below 8 words are found by `exact` alone, and problems without words never.
    """
    index = index_problems(evaluation, settings)
    proposals = propose(training, index, prompts, on_progress)
    ground_truths = read_words([problem.ground_truth for problem in evaluation])
    hits = list[Contamination]()
    for row, problem, text, words, masked in _looks(training, proposals, index):
        closer = _Look(text, words, masked, words_of(index.words, problem), words_of(index.masked, problem))
        own = evaluation[problem]
        if (own.name, own.row) in settings.allowed_problems or (
            row,
            own.name,
            own.row,
        ) in settings.allowed_pairs:
            continue
        found = _overlaps(closer, proposals.tables, settings)
        numbers_agree = same_numbers(words, closer.problem)
        for kind, overlap in found.items():
            row_side, side = closer.sides(kind)
            ground_truth = words_of(ground_truths, problem).hashes
            hits.append(
                Contamination(
                    training_row=row,
                    evaluation_name=own.name,
                    evaluation_row=own.row,
                    kind=kind,
                    score=overlap.score,
                    training_spans=spans(row_side, overlap.row_words),
                    evaluation_spans=spans(side, overlap.problem_words),
                    ground_truth_found=kind != "template" and holds(words, overlap.row_words, ground_truth),
                    numbers_agree=numbers_agree,
                    is_counted=kind in settings.counted and (numbers_agree or settings.count_other_numbers),
                )
            )
    return hits


@dataclass(frozen=True, slots=True)
class _Look:
    text: str
    row: TextWords
    masked_row: TextWords
    problem: TextWords
    masked_problem: TextWords

    def sides(self, kind: Kind) -> tuple[TextWords, TextWords]:
        """Row and problem as this kind sees them."""
        if kind == "template":
            return self.masked_row, self.masked_problem
        return self.row, self.problem


def _overlaps(look: _Look, tables: dict[Kind, GramTable], settings: Decontamination) -> dict[Kind, Overlap]:
    found: dict[Kind, Overlap] = {}
    if "exact" in settings.methods and (same := whole(look.text, look.row, look.problem)):
        found["exact"] = same
    for kind, least in _least_scores(settings).items():
        if kind not in tables or (kind == "template" and found):
            continue
        row, problem = look.sides(kind)
        table = tables[kind]
        measure = containment if kind == "near" else coverage
        overlap = measure(row, problem, table.n, table.holds(problem.grams(table.n)))
        if overlap.score >= least:
            found[kind] = overlap
    return found


def _least_scores(settings: Decontamination) -> dict[Kind, float]:
    """`template` comes last: it is for pairs that nothing else explains."""
    return {
        "8-gram": settings.least_coverage,
        "13-gram": sys.float_info.min,
        "near": settings.least_containment,
        "template": settings.least_template,
    }


def _looks(
    training: Texts, proposals: Proposals, index: ProblemIndex
) -> Iterator[tuple[int, int, str, TextWords, TextWords]]:
    """Each proposed pair once, by row and problem, with the row's text and words."""
    size = max(len(index.text_ids), 1)
    everything = [rows * size + problems for rows, problems in proposals.pairs.values()]
    keys = np.unique(np.concatenate([np.empty(0, np.int64), *everything]))
    rows = np.unique(keys // size)
    for first, batch, words in word_batches(training.take(pa.array(rows))):
        masked = without_numbers(words)
        for number, text in enumerate(batch):
            row = int(rows[first + number])
            own = keys[np.searchsorted(keys, row * size) : np.searchsorted(keys, (row + 1) * size)] % size
            for problem in own.tolist():
                yield row, problem, text, words_of(words, number), words_of(masked, number)
