"""IFEval's constraints on words: which occur, how often, how many there are, and in which case.

Keywords and letters count wherever they occur, inside longer words too, and ignoring case, as in the reference
implementation; but as text, where that takes them for regular expressions. Deliberate differences from it,
besides those of ifeval.py: a combining mark does not end a word; runs of `_` are no words; a sentence, as
Punkt finds it (Kiss & Strunk 2006, the English model of NLTK), has a letter or digit in it; a contraction such
as DON'T is one word in capitals; in Latin text the
commas of other scripts are commas too; forbidden words are found behind lookalikes.
"""

import re
from functools import cache

from punkt import PunktSentenceTokenizer, load_model

from stages.verifiers.ifeval_answer import (
    Answer,
    as_seen,
    is_mostly_latin,
    says_something,
    without_lookalikes,
    without_marks,
)
from stages.verifiers.ifeval_arguments import Relation

_WORD = re.compile(r"(?<!\w)_*+[^\W_]\w*+")
_BETWEEN_TOKENS = re.compile(r"[\s\[\](){}<>;@#$%&?!*\"“”‘«»„`\u2012-\u2015]+|[:,](?!\d)|--|\.{2,}")
"""Where NLTK's word_tokenize parts text, apart from apostrophes: a hyphenated word is one word."""
_END = re.compile(r"[.?!]+(?!\w)")
"""Where Punkt may end a sentence; one more may end with the text."""

_PLAIN_END = re.compile(r"(?<!\S)([A-Za-z]{2,}+)[.?!]\s++(?=[^\s.?!\"')\]}])")
"""A word of letters, an end, a space, no closing bracket: a sentence ends here if the word is no abbreviation."""

_COMMAS = frozenset(
    ",\u201a\u055d\u060c\u07f8\u1363\u1802\u1808\u2e32\u2e34\u2e41\u2e49\u2e4c\u3001\ua4fe\ua60d\ua6f5"
)
"""In compatibility form; U+201A is the quotation mark that looks like one."""


def has_keywords(answer: Answer, *, keywords: list[str]) -> bool:
    text = answer.plain.casefold()
    return all(as_seen(keyword).casefold() in text for keyword in keywords)


def has_keyword_as_often(answer: Answer, *, keyword: str, frequency: int, relation: Relation) -> bool:
    text, sought = answer.plain.casefold(), as_seen(keyword).casefold()
    if relation == "at least":
        return text.count(sought) >= frequency
    return max(text.count(sought), without_lookalikes(answer.plain).casefold().count(sought)) < frequency


def has_no_forbidden_word(answer: Answer, *, forbidden_words: list[str]) -> bool:
    """Whole words only, so that `rock` allows `rocket`."""
    readings = {answer.plain.casefold(), without_lookalikes(answer.plain).casefold()}
    words = [as_seen(word).casefold() for word in forbidden_words]
    return not any(_has_word(text, word) for text in readings for word in words)


def has_letter_as_often(answer: Answer, *, letter: str, let_frequency: int, let_relation: Relation) -> bool:
    text, sought = answer.plain.lower(), as_seen(letter).lower()
    if let_relation == "at least":
        return text.count(sought) >= let_frequency
    return max(text.count(sought), without_lookalikes(answer.plain).lower().count(sought)) < let_frequency


def has_num_words(answer: Answer, *, num_words: int, relation: Relation) -> bool:
    """A word is an unbroken run of letters, digits and `_`, so `it's` and `e-mail` are two each."""
    return _compares(len(_WORD.findall(without_marks(answer.plain))), relation, num_words)


def has_num_sentences(answer: Answer, *, num_sentences: int, relation: Relation) -> bool:
    return _compares(_num_sentences(answer.text, num_sentences), relation, num_sentences)


def has_num_capital_words(answer: Answer, *, capital_frequency: int, capital_relation: Relation) -> bool:
    """Every cased letter of the word is a capital; `I` and `GPT-4` count."""
    capitals = sum(map(str.isupper, _BETWEEN_TOKENS.split(answer.plain)))
    return _compares(capitals, capital_relation, capital_frequency)


def has_letters(answer: Answer, *, language: str) -> bool:
    """Digits alone are in no language."""
    del language
    return any(character.isalpha() for character in answer.plain)


def is_in_capitals(answer: Answer) -> bool:
    return answer.plain.isupper()


def is_in_lowercase(answer: Answer) -> bool:
    return answer.plain.islower()


def has_no_comma(answer: Answer) -> bool:
    """Latin text has no comma of another script either, which would only stand in for its own."""
    return "," not in answer.text and (not is_mostly_latin(answer.plain) or _COMMAS.isdisjoint(answer.plain))


def _compares(count: int, relation: Relation, threshold: int) -> bool:
    return count >= threshold if relation == "at least" else count < threshold


def _num_sentences(text: str, asked: int) -> int:
    """How many, or some number on the same side of `asked`: what is certain needs no work.

    Punkt decides each end from the words around it, so the undoubted ones part its work, and need none.
    """
    if (most := len(_END.findall(text)) + 1) < asked:
        return most
    abbreviations = _splitter().params.abbrev_types
    ends = [end for end in _PLAIN_END.finditer(text) if end[1].lower() not in abbreviations]
    count = start = 0
    for num_before, end in enumerate(ends):
        if count + len(ends) - num_before >= asked:
            return asked
        count += _num_split(text[start : end.end(1) + 1])
        start = end.end()
    return count + _num_split(text[start:])


def _num_split(text: str) -> int:
    """One end at most, at the very end, is one sentence."""
    if not _END.search(text, 0, len(text) - 1):
        return int(_is_said(text))
    return sum(_is_said(text[start:end]) for start, end in _splitter().span_tokenize(text))


def _is_said(text: str) -> bool:
    return says_something(text if text.isascii() else as_seen(text))


@cache
def _splitter() -> PunktSentenceTokenizer:
    return PunktSentenceTokenizer(load_model("english"))


def _has_word(text: str, word: str) -> bool:
    position = text.find(word)
    while position >= 0:
        before, after = text[position - 1 : position], text[position + len(word) : position + len(word) + 1]
        if not _continues_word(before) and not _continues_word(after):
            return True
        position = text.find(word, position + 1)
    return False


def _continues_word(neighbour: str) -> bool:
    return bool(neighbour) and (neighbour.isalnum() or neighbour == "_" or not without_marks(neighbour))
