"""Texts as hashed words, for finding texts that resemble each other; all rows of a batch in a few numpy passes.

A word is a run of letters or a run of digits, one operator (`+ - * / ^ % = <` …, repeats counted once), or one
character of a script that writes without spaces. Case, accents, compatibility forms (NFKC), zero-width characters
and all other punctuation do not count. Operators do: "3 + 4" and "3 - 4" are different problems. Every word keeps
its place in the ORIGINAL text, in characters, so that a match can be shown as it was written.

Hashes are polynomials modulo 2^64 over mixed code points (Karp & Rabin 1987; mixer: splitmix64, Steele et al. 2014):
the same on every machine, whatever PYTHONHASHSEED.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.characters import (
    DIGIT,
    IDEOGRAPH,
    SEPARATOR,
    SYMBOL,
    Flags,
    Hashes,
    Positions,
    character_tables,
    fold_all,
    mixed,
)

Texts: TypeAlias = pa.Array | pa.ChunkedArray

_BATCH_CHARACTERS = 1 << 20
_BASE = 0x9E3779B97F4A7C15
_WORD_BASE = 0xD1342543DE82EF95
_NUMBER_WORDS = (
    *(
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
    *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"),
    *("hundred", "thousand", "million", "half", "third", "quarter", "once", "twice"),
)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of several texts, one after the other; all arrays but `offsets` have one entry a word."""

    hashes: Hashes
    rows: Positions
    """Which text of the batch, from 0."""

    starts: Positions
    ends: Positions
    """Half-open range of characters in the word's own text."""

    are_numbers: Flags
    offsets: Positions
    """Words of text r are `offsets[r]:offsets[r + 1]`."""


def word_batches(texts: Texts) -> Iterator[tuple[int, list[str], Words]]:
    """First row, texts and words of about a million characters at a time. Null is the empty text."""
    first, size, batch = 0, 0, list[str]()
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        for start in range(0, len(chunk), 4096):
            for text in chunk.slice(start, 4096).to_pylist():
                batch.append(text or "")
                size += len(batch[-1])
                if size >= _BATCH_CHARACTERS:
                    yield first, batch, read_words(batch)
                    first, size, batch = first + len(batch), 0, []
    if batch:
        yield first, batch, read_words(batch)


def read_words(texts: Sequence[str]) -> Words:
    """All words of `texts`. Memory: about 60 bytes a character."""
    lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    first_character = np.concatenate(([0], np.cumsum(lengths)))
    codes, origins = fold_all(codes)
    tables = character_tables()
    values, kinds = tables.values[codes], tables.kinds[codes]
    rows = np.repeat(np.arange(len(texts)), lengths)[origins]
    starts, ends = _boundaries(codes, kinds, rows)
    hashes = _hash_ranges(values, starts, ends)
    collapsed = kinds[starts] == SYMBOL
    hashes[collapsed] = mixed(values[starts[collapsed]])
    word_rows = rows[starts]
    text_starts = first_character[word_rows]
    return Words(
        hashes=hashes,
        rows=word_rows,
        starts=origins[starts] - text_starts,
        ends=origins[ends - 1] + 1 - text_starts,
        are_numbers=(kinds[starts] == DIGIT) | np.isin(hashes, _number_words()),
        offsets=np.searchsorted(word_rows, np.arange(len(texts) + 1)),
    )


def ngrams(words: Words, n: int) -> tuple[Hashes, Positions]:
    """Hash and first word of every run of n words within one text."""
    count = len(words.hashes) - n + 1
    if count <= 0:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    hashes = np.zeros(count, np.uint64)
    for k in range(n):
        hashes = hashes * np.uint64(_WORD_BASE) + words.hashes[k : k + count]
    inside = words.rows[:count] == words.rows[n - 1 :]
    return mixed(hashes[inside]), np.flatnonzero(inside)


def without_numbers(words: Words) -> Words:
    """Every number, in digits or in words, becomes one placeholder: what stays when only numbers were changed."""
    numbers = words.are_numbers
    repeats = np.zeros(len(numbers), bool)
    repeats[1:] = numbers[1:] & numbers[:-1] & (words.rows[1:] == words.rows[:-1])
    kept = ~repeats
    rows = words.rows[kept]
    return Words(
        hashes=np.where(numbers, np.uint64(1), words.hashes)[kept],
        rows=rows,
        starts=words.starts[kept],
        ends=words.ends[kept],
        are_numbers=numbers[kept],
        offsets=np.searchsorted(rows, np.arange(len(words.offsets))),
    )


def _boundaries(
    codes: NDArray[np.uint32], kinds: NDArray[np.uint8], rows: Positions
) -> tuple[Positions, Positions]:
    breaks = np.ones(len(codes), bool)
    breaks[1:] = (kinds[1:] != kinds[:-1]) | (rows[1:] != rows[:-1])
    breaks |= (kinds == SEPARATOR) | (kinds == IDEOGRAPH)
    breaks[1:] |= (kinds[1:] == SYMBOL) & (codes[1:] != codes[:-1])
    edges = np.flatnonzero(breaks)
    is_word = kinds[edges] != SEPARATOR
    return edges[is_word], np.append(edges[1:], len(codes))[is_word]


def _hash_ranges(values: Hashes, starts: Positions, ends: Positions) -> Hashes:
    """Polynomial hash of each range by differences of one running sum: arithmetic modulo 2^64 is exact."""
    powers, inverses = _powers(1 << max(len(values), 1).bit_length())
    sums = np.concatenate(
        (np.zeros(1, np.uint64), np.cumsum(values * powers[: len(values)], dtype=np.uint64))
    )
    return mixed((sums[ends] - sums[starts]) * inverses[starts])


@cache
def _powers(size: int) -> tuple[Hashes, Hashes]:
    inverse = pow(_BASE, -1, 1 << 64)
    return np.full(size, _BASE, np.uint64).cumprod(), np.full(size, inverse, np.uint64).cumprod()


@cache
def _number_words() -> Hashes:
    lengths = np.fromiter((len(word) for word in _NUMBER_WORDS), np.int64)
    codes = np.frombuffer("".join(_NUMBER_WORDS).encode("utf-32-le"), np.uint32)
    ends = np.cumsum(lengths)
    return _hash_ranges(character_tables().values[codes], ends - lengths, ends)
