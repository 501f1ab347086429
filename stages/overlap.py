"""One training row beside one evaluation problem: how much of the problem the row holds, and where."""

import re
from dataclasses import dataclass

import numpy as np

from stages.characters import Flags, Hashes, Positions
from stages.contamination import Spans
from stages.words import Words, ngrams

SENTENCE_WORDS = 8
LEAST_NEAR_GRAMS = 6
"""A problem with fewer telling 3-grams is too short to be recognised by some of them."""

_LINE_WORDS = 4
_SENTENCE_BEFORE = re.compile(r"(?:^|[.!?:。！？])[^\w+*/^=<>%-]*$")
_SENTENCE_AFTER = re.compile(r"[^\w+*/^=<>%.!?-]*(?:[.!?。！？](?!\d)|$)")
_NO_WORD = re.compile(r"[\W_]*")


@dataclass(frozen=True, slots=True)
class TextWords:
    """The words of one text, cut out of a batch."""

    hashes: Hashes
    starts: Positions
    ends: Positions
    are_numbers: Flags

    def grams(self, n: int) -> Hashes:
        """Hash of each run of n words, by its first word."""
        rows = np.zeros(len(self.hashes), np.int64)
        return ngrams(Words(self.hashes, rows, self.starts, self.ends, self.are_numbers, rows[:0]), n)[0]


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a row and a problem share."""

    score: float
    row_words: Flags
    problem_words: Flags


def words_of(words: Words, row: int) -> TextWords:
    """Row `row` of a batch by itself."""
    own = slice(words.offsets[row], words.offsets[row + 1])
    return TextWords(words.hashes[own], words.starts[own], words.ends[own], words.are_numbers[own])


def coverage(row: TextWords, problem: TextWords, n: int, is_telling: Flags) -> Overlap:
    """Share of the problem's words covered by shared n-grams, of all of them and of those in telling n-grams.

    The smaller of the two counts: boilerplate in common is not enough, nor is one telling phrase in a long problem.
    """
    row_grams, problem_grams = row.grams(n), problem.grams(n)
    is_shared = np.isin(problem_grams, row_grams)
    covered = _covered(is_shared, n, len(problem.hashes))
    coverable = _covered(is_telling, n, len(problem.hashes))
    told = _covered(is_shared & is_telling, n, len(problem.hashes))
    score = min(covered.mean(), told.sum() / max(coverable.sum(), 1))
    return Overlap(float(score), _covered(np.isin(row_grams, problem_grams), n, len(row.hashes)), covered)


def containment(row: TextWords, problem: TextWords, n: int, is_telling: Flags) -> Overlap:
    """Share of the problem's telling n-grams that stand in the row within twice the problem's length."""
    row_grams, problem_grams = row.grams(n), problem.grams(n)
    own = np.unique(problem_grams[is_telling])
    places = np.flatnonzero(np.isin(row_grams, own) & (len(own) >= LEAST_NEAR_GRAMS))
    window = 2 * len(problem.hashes)
    best, best_places = 0, places[:0]
    for first in range(len(places)):
        within = places[first : np.searchsorted(places, places[first] + window)]
        if len(within) > best and (found := len(np.unique(row_grams[within]))) > best:
            best, best_places = found, within
    is_matched = np.zeros(len(row_grams), bool)
    is_matched[best_places] = True
    in_problem = np.isin(problem_grams, row_grams[best_places])
    return Overlap(
        best / max(len(own), 1),
        _covered(is_matched, n, len(row.hashes)),
        _covered(in_problem, n, len(problem.hashes)),
    )


def whole(text: str, row: TextWords, problem: TextWords) -> Overlap | None:
    """The problem word by word. A problem below 8 words must be a sentence of the row, below 4 a line of its own."""
    length = len(problem.hashes)
    for place in np.flatnonzero(
        row.hashes[: max(len(row.hashes) - length + 1, 0)] == problem.hashes[0]
    ).tolist():
        is_same = np.array_equal(row.hashes[place : place + length], problem.hashes)
        if is_same and _stands_alone(text, int(row.starts[place]), int(row.ends[place + length - 1]), length):
            in_row = np.zeros(len(row.hashes), bool)
            in_row[place : place + length] = True
            return Overlap(1.0, in_row, np.ones(length, bool))
    return None


def spans(words: TextWords, is_matched: Flags) -> Spans:
    """Matching words as ranges of characters; words that follow each other share a range."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], is_matched.astype(np.int8), [0]))))
    return tuple(
        (int(words.starts[first]), int(words.ends[last - 1]))
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    )


def holds(row: TextWords, is_matched: Flags, phrase: Hashes) -> bool:
    """Whether the phrase stands in the row outside of the matching words."""
    length = len(phrase)
    if not length:
        return False
    for place in np.flatnonzero(row.hashes[: max(len(row.hashes) - length + 1, 0)] == phrase[0]).tolist():
        own = slice(place, place + length)
        if np.array_equal(row.hashes[own], phrase) and not is_matched[own].any():
            return True
    return False


def same_numbers(row: TextWords, problem: TextWords) -> bool:
    """Whether the row has every number of the problem at least as often."""
    needed, counts = np.unique(problem.hashes[problem.are_numbers], return_counts=True)
    numbers = row.hashes[row.are_numbers]
    return all((numbers == number).sum() >= count for number, count in zip(needed, counts, strict=True))


def _covered(is_matched: Flags, n: int, num_words: int) -> Flags:
    covered = np.zeros(num_words, bool)
    first_words = np.flatnonzero(is_matched)
    for k in range(n):
        covered[first_words + k] = True
    return covered


def _stands_alone(text: str, start: int, end: int, num_words: int) -> bool:
    if num_words >= SENTENCE_WORDS:
        return True
    before = text[text.rfind("\n", 0, start) + 1 : start]
    after = text[end:].split("\n", 1)[0]
    if num_words >= _LINE_WORDS:
        return bool(_SENTENCE_BEFORE.search(before) and _SENTENCE_AFTER.match(after))
    return bool(_NO_WORD.fullmatch(before) and _NO_WORD.fullmatch(after))
