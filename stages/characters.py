"""What a character is when texts are compared: its kind, what it folds to, and what it hashes to.

Case, accents and compatibility forms (NFKC) fold away, and so do invisible characters and the variants of minus,
times and divide. The tables follow Python's `unicodedata`, so only characters newer than the oldest supported Python
could differ between two machines.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Hashes: TypeAlias = NDArray[np.uint64]
Positions: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

SEPARATOR, LETTER, DIGIT, SYMBOL, IDEOGRAPH = range(5)
"""A run of letters or of digits is a word; a symbol is a word, with its repetitions; an ideograph is one by itself."""

_LAST_CODE = 0x40000
_OPERATORS = frozenset("-*/^%")
_SAME_AS = str.maketrans(
    {"\u2010": "-", "\u2011": "-", "\u2212": "-", "\u00d7": "*", "\u00f7": "/", "\u2044": "/"}
)
_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # kana
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


@dataclass(frozen=True, slots=True)
class CharacterTables:
    """By code point: what it is, what it hashes to, and what it is folded to when that is not one character."""

    folded: NDArray[np.uint32]
    counts: NDArray[np.int64]
    expansions: dict[int, list[int]]
    kinds: NDArray[np.uint8]
    values: Hashes


def fold_all(codes: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], Positions]:
    """Folded code points and, for each, the index of the character it came from."""
    tables = character_tables()
    codes = np.minimum(codes, _LAST_CODE)
    counts = tables.counts[codes]
    origins = np.arange(len(codes))
    if (counts == 1).all():
        return tables.folded[codes], origins
    origins = np.repeat(origins, counts)
    folded = tables.folded[codes[origins]]
    target = np.concatenate(([0], np.cumsum(counts)))
    for index in np.flatnonzero(counts > 1).tolist():
        folded[target[index] : target[index + 1]] = tables.expansions[int(codes[index])]
    return folded, origins


@cache
def character_tables() -> CharacterTables:
    folded = np.arange(_LAST_CODE + 1, dtype=np.uint32)
    counts = np.ones(_LAST_CODE + 1, np.int64)
    kinds = np.full(_LAST_CODE + 1, SEPARATOR, np.uint8)
    kinds[0x20000:_LAST_CODE] = IDEOGRAPH
    expansions: dict[int, list[int]] = {}
    for code in [*range(0x20000), *range(0x2F800, 0x2FA20)]:
        character = chr(code)
        kinds[code] = _kind(character)
        fold = _fold(character)
        if len(fold) == 1:
            folded[code] = ord(fold)
        else:
            counts[code] = len(fold)
            expansions[code] = [ord(part) for part in fold]
    values = mixed((folded.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    return CharacterTables(folded, counts, expansions, kinds, values)


def _fold(character: str) -> str:
    """Case, compatibility form and accents away; nothing is left of combining accents and invisible characters."""
    if unicodedata.category(character) == "Cf":
        return ""
    base = "".join(
        part for part in unicodedata.normalize("NFKD", character) if not "\u0300" <= part <= "\u036f"
    )
    fold = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", base).casefold())
    return fold.translate(_SAME_AS)


def _kind(character: str) -> int:
    code, category = ord(character), unicodedata.category(character)
    if any(low <= code <= high for low, high in _SPACELESS) and category[0] in "LMN":
        return IDEOGRAPH
    if category[0] == "N":
        return DIGIT
    if category[0] in "LM":
        return LETTER
    return SYMBOL if category == "Sm" or character in _OPERATORS else SEPARATOR


def mixed(values: Hashes) -> Hashes:
    """The finalizer of splitmix64: every input bit reaches every output bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
