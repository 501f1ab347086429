"""The n-grams of all evaluation problems, so that one pass over training rows finds every row worth a closer look."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stages.characters import Flags, Hashes, Positions
from stages.contamination import Decontamination, EvaluationText
from stages.words import Words, ngrams, read_words, without_numbers

_SET_OF_PROBLEMS = 4
_AFFIX_WORDS = 8
_FILTER_BITS = 22


@dataclass(frozen=True, slots=True)
class GramTable:
    """N-grams that are not boilerplate, sorted, with the problems each stands in."""

    n: int
    grams: Hashes
    offsets: Positions
    """Problems of gram g are `problems[offsets[g]:offsets[g + 1]]`."""

    problems: Positions
    num_grams: Positions
    """By problem: how many different grams of the table it has."""

    present: Flags
    """By the first bits of a hash: whether any gram begins with them."""

    def find(self, hashes: Hashes) -> tuple[Positions, Positions]:
        """Positions in `hashes` that are grams of the table, and which."""
        likely = np.flatnonzero(self.present[(hashes >> np.uint64(64 - _FILTER_BITS)).view(np.int64)])
        grams = np.searchsorted(self.grams, hashes[likely])
        grams[grams == len(self.grams)] = 0
        is_found = self.grams[grams] == hashes[likely] if len(self.grams) else np.zeros(0, bool)
        return likely[is_found], grams[is_found]

    def holds(self, hashes: Hashes) -> Flags:
        """Which of `hashes` are grams of the table."""
        held = np.zeros(len(hashes), bool)
        held[self.find(hashes)[0]] = True
        return held

    def pairs(self, rows: Positions, grams: Positions) -> tuple[Positions, Positions, Positions]:
        """Every (row, problem) that shares a gram, and how many different ones; given each (row, gram) once."""
        counts = self.offsets[grams + 1] - self.offsets[grams]
        total = np.concatenate(([0], np.cumsum(counts)))
        within = np.arange(total[-1]) - np.repeat(total[:-1] - self.offsets[grams], counts)
        size = max(len(self.num_grams), 1)
        keys, shared = np.unique(np.repeat(rows, counts) * size + self.problems[within], return_counts=True)
        return keys // size, keys % size, shared

    def without(self, is_common: Flags) -> "GramTable":
        """The table less some grams."""
        counts = np.diff(self.offsets)
        hashes = np.repeat(self.grams, counts)
        kept = ~np.repeat(is_common, counts)
        return gram_table(self.n, hashes[kept], self.problems[kept], len(self.num_grams))


@dataclass(frozen=True, slots=True)
class ProblemIndex:
    """Problems as words, less what the prompts of their set begin and end with alike."""

    words: Words
    masked: Words
    """The same, each number a placeholder."""

    text_ids: Positions
    """Equal for problems of equal words, which count once when phrases are counted."""

    harmless: Words
    settings: Decontamination

    def table(self, n: int, *, masked: bool = False) -> GramTable:
        """All n-grams that are not boilerplate of the evaluation."""
        words = self.masked if masked else self.words
        hashes, first_words = ngrams(words, n)
        problems = words.rows[first_words]
        size = len(self.text_ids) + 1
        grams, inverse = np.unique(hashes, return_inverse=True)
        texts = np.unique(inverse * size + self.text_ids[problems]) // size
        harmless = without_numbers(self.harmless) if masked else self.harmless
        is_common = np.bincount(texts, minlength=len(grams)) > self.settings.common_problems
        is_common |= np.isin(grams, ngrams(harmless, n)[0])
        is_rare = ~is_common[inverse]
        return gram_table(n, hashes[is_rare], problems[is_rare], len(self.text_ids))

    def anchors(self, longest: int) -> list[GramTable]:
        """One n-gram of each problem, its rarest: of n = `longest` words, or the whole problem where it is shorter."""
        lengths = np.diff(self.words.offsets)
        tables = list[GramTable]()
        for n in range(1, longest + 1):
            hashes, first_words = ngrams(self.words, n)
            problems = self.words.rows[first_words]
            _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
            order = np.lexsort((counts[inverse], problems))
            order = (
                order[lengths[problems[order]] >= longest]
                if n == longest
                else order[lengths[problems[order]] == n]
            )
            _, first = np.unique(problems[order], return_index=True)
            chosen = order[first]
            if len(chosen):
                tables.append(gram_table(n, hashes[chosen], problems[chosen], len(lengths)))
        return tables


def index_problems(evaluation: Sequence[EvaluationText], settings: Decontamination) -> ProblemIndex:
    """Read all problems once."""
    words = read_words([problem.prompt for problem in evaluation])
    words = _without_affixes(words, [problem.name for problem in evaluation])
    lengths = np.diff(words.offsets)
    keys = [
        words.hashes[start : start + n].tobytes() for start, n in zip(words.offsets, lengths, strict=False)
    ]
    ids: dict[bytes, int] = {}
    text_ids = np.array([ids.setdefault(key, len(ids)) for key in keys], np.int64)
    harmless = read_words(settings.harmless_texts)
    return ProblemIndex(words, without_numbers(words), text_ids, harmless, settings)


def gram_table(n: int, hashes: Hashes, problems: Positions, num_problems: int) -> GramTable:
    """From each n-gram and the problem it stands in; repetitions within a problem count once."""
    grams, inverse = np.unique(hashes, return_inverse=True)
    size = max(num_problems, 1)
    keys = np.unique(inverse * size + problems)
    present = np.zeros(1 << _FILTER_BITS, bool)
    present[(grams >> np.uint64(64 - _FILTER_BITS)).view(np.int64)] = True
    return GramTable(
        n=n,
        grams=grams,
        offsets=np.searchsorted(keys // size, np.arange(len(grams) + 1)),
        problems=keys % size,
        num_grams=np.bincount(keys % size, minlength=num_problems),
        present=present,
    )


def _without_affixes(words: Words, names: Sequence[str]) -> Words:
    """Drop the instruction that at least half of a set's prompts share, where a prompt begins or ends with it."""
    hashes, first_words = ngrams(words, _AFFIX_WORDS)
    _, sets = np.unique(np.array(names, dtype=str), return_inverse=True)
    set_sizes = np.bincount(sets)
    problems = words.rows[first_words]
    num_problems = len(names)
    grams, inverse = np.unique(hashes, return_inverse=True)
    owners = np.unique(inverse * num_problems + problems)
    keys, counts = np.unique(
        owners // num_problems * len(set_sizes) + sets[owners % num_problems], return_counts=True
    )
    key_sets = keys % len(set_sizes)
    is_shared = (set_sizes[key_sets] >= _SET_OF_PROBLEMS) & (2 * counts >= set_sizes[key_sets])
    is_affix = np.isin(inverse * len(set_sizes) + sets[problems], keys[is_shared])
    covered = np.zeros(len(words.hashes), bool)
    for k in range(_AFFIX_WORDS):
        covered[first_words[is_affix] + k] = True
    kept = np.ones(len(covered), bool)
    for start, end in zip(words.offsets[:-1], words.offsets[1:], strict=True):
        own = np.flatnonzero(~covered[start:end])
        if len(own):
            kept[start : start + own[0]] = False
            kept[start + own[-1] + 1 : end] = False
    del grams
    rows = words.rows[kept]
    return replace(
        words,
        hashes=words.hashes[kept],
        rows=rows,
        starts=words.starts[kept],
        ends=words.ends[kept],
        are_numbers=words.are_numbers[kept],
        offsets=np.searchsorted(rows, np.arange(len(words.offsets))),
    )
