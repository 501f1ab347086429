"""The answer as a reader sees it, so that no constraint is met or dodged by characters that nobody sees.

Zero-width and control characters are gone, compatibility forms (fullwidth letters, ligatures) are the plain
ones, and, where words are forbidden, Cyrillic and Greek letters that look Latin count as what they look like.
All of it is linear in the text, and nothing at all is done to plain ASCII.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_HIDDEN_ASCII = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1b\x7f]")
_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_MOST_MARKS = 30
"""Combining marks in a row, as in Unicode's stream-safe text format (UAX 15): sorting more is quadratic."""

_CYRILLIC = dict(zip("аеорсухіјѕһӏԁАВЕКМНОРСТУХІЈЅ", "aeopcyxijshldABEKMHOPCTYXIJS", strict=True))
_GREEK = dict(zip("αικνορυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aiknopuABEZHIKMNOPTYX", strict=True))
_LOOKALIKES = str.maketrans(_CYRILLIC | _GREEK | {"ı": "i", "ɑ": "a", "ɡ": "g"})
_LATIN = re.compile(r"[A-Za-z]")
_CYRILLIC_OR_GREEK = re.compile(r"[\u0370-\u03ff\u0400-\u052f]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What follows the thinking, or one of its loose readings."""

    text: str
    """As written."""

    plain: str
    """As seen."""


def answers(text: str, *, loose: bool) -> Iterator[Answer]:
    """The answer itself; with `loose` also without its first line, its last line and its asterisks.

    These eight readings are the paper's loose accuracy: a preamble or bold type then does no harm. Readings
    without a letter or digit say nothing and meet no constraint, not even a negative one.
    """
    seen = as_seen(text)
    if not loose:
        pairs = [(text, seen)]
    else:
        pairs = dict.fromkeys(zip(_loose_readings(text), _loose_readings(seen), strict=True))
    return (Answer(reading, plain) for reading, plain in pairs if says_something(plain))


def says_something(text: str) -> bool:
    """Whether there is a letter or a digit of any script in `text`, as it is seen."""
    return _LETTER_OR_DIGIT.search(text) is not None


def as_seen(text: str) -> str:
    """Without characters that have no glyph, and in compatibility form (NFKC)."""
    if text.isascii():
        return _HIDDEN_ASCII.sub("", text)
    characters = set(text)
    hidden = {ord(character) for character in characters if _is_hidden(character)}
    shown = text.translate(dict.fromkeys(hidden)) if hidden else text
    marks = "".join(character for character in characters if unicodedata.combining(character))
    if marks:
        any_mark = f"[{re.escape(marks)}]"
        shown = re.sub(f"({any_mark}{{{_MOST_MARKS}}}){any_mark}+", r"\1", shown)
    return unicodedata.normalize("NFKC", shown)


def without_marks(text: str) -> str:
    """Letters only of a script whose vowels are marks, such as Devanagari: a mark does not end a word."""
    if text.isascii():
        return text
    marks = {ord(character) for character in set(text) if unicodedata.category(character).startswith("M")}
    return text.translate(dict.fromkeys(marks)) if marks else text


def is_mostly_latin(text: str) -> bool:
    """By its letters, which may all be a few."""
    return text.isascii() or 2 * len(_LATIN.findall(text)) >= sum(map(str.isalpha, text))


def without_lookalikes(text: str) -> str:
    """Mostly Latin text with its Cyrillic and Greek lookalikes made Latin; other text as it is."""
    if text.isascii() or len(_CYRILLIC_OR_GREEK.findall(text)) > len(_LATIN.findall(text)):
        return text
    return text.translate(_LOOKALIKES)


@lru_cache(maxsize=65_536)
def _is_hidden(character: str) -> bool:
    if (
        character in _BLANK_LETTERS
        or 0xFE00 <= ord(character) <= 0xFE0F
        or 0xE0100 <= ord(character) <= 0xE01EF
    ):
        return True
    category = unicodedata.category(character)
    return category in ("Cf", "Cs") or (category == "Cc" and not character.isspace())


def _loose_readings(text: str) -> Iterator[str]:
    lines = text.split("\n")
    readings = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    for reading in readings:
        yield reading
        yield reading.replace("*", "")
