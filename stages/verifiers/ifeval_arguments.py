"""The keyword arguments of each IFEval constraint, by their published names.

Strict, and without defaults: the reference implementation draws what a row lacks at random, and a row whose
argument no answer or every answer meets (at least 0 words, less than 1 sentence) teaches nothing. Both are refused.
"""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, with_config
from typing_extensions import TypedDict

from stages.verifiers.ifeval_answer import as_seen

Relation = Literal["less than", "at least"]
Count = Annotated[int, Field(strict=True, ge=1)]

_LANGUAGES = (
    "af, ar, bg, bn, ca, cs, cy, da, de, el, en, es, et, fa, fi, fr, gu, he, hi, hr, hu, id, it, ja, kn, ko, lt, lv, "
    "mk, ml, mr, ne, nl, no, pa, pl, pt, ro, ru, sk, sl, so, sq, sv, sw, ta, te, th, tl, tr, uk, ur, vi, zh-cn, zh-tw"
)


def _known_language(code: str) -> str:
    if code not in _LANGUAGES.split(", "):
        raise ValueError(f"a language is one of {_LANGUAGES}")
    return code


def _visible(text: str) -> str:
    if not as_seen(text).strip():
        raise ValueError("it has no visible character")
    return text


def _one_letter(text: str) -> str:
    if len(as_seen(text).lower()) != 1:
        raise ValueError("a letter is one character")
    return text


def _one_word(text: str) -> str:
    if not frozenset(text).isdisjoint(" \t\n.,?!'\""):
        raise ValueError("a first word ends at a space or punctuation, so no answer could start with this")
    return text


Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True), AfterValidator(_visible)]
Keyword = Annotated[Text, Field(max_length=200)]


@with_config(extra="forbid")
class Keywords(TypedDict):
    keywords: Annotated[list[Keyword], Field(min_length=1)]


@with_config(extra="forbid")
class KeywordFrequency(TypedDict):
    keyword: Keyword
    frequency: Count
    relation: Relation


@with_config(extra="forbid")
class ForbiddenWords(TypedDict):
    forbidden_words: Annotated[list[Keyword], Field(min_length=1)]


@with_config(extra="forbid")
class LetterFrequency(TypedDict):
    letter: Annotated[Text, AfterValidator(_one_letter)]
    """Any one character: the published rows ask for `#` and `!` too."""
    let_frequency: Count
    let_relation: Relation


@with_config(extra="forbid")
class CapitalWordFrequency(TypedDict):
    capital_frequency: Count
    capital_relation: Relation


@with_config(extra="forbid")
class ResponseLanguage(TypedDict):
    language: Annotated[str, AfterValidator(_known_language)]
    """Those that langdetect tells apart, which include the 30 published ones."""


@with_config(extra="forbid")
class NumSentences(TypedDict):
    num_sentences: Count
    relation: Relation


@with_config(extra="forbid")
class NumWords(TypedDict):
    num_words: Count
    relation: Relation


@with_config(extra="forbid")
class NumParagraphs(TypedDict):
    num_paragraphs: Count


@with_config(extra="forbid")
class NthParagraph(TypedDict):
    num_paragraphs: Count
    nth_paragraph: Count
    first_word: Annotated[Text, AfterValidator(_one_word)]


@with_config(extra="forbid")
class NumPlaceholders(TypedDict):
    num_placeholders: Count


@with_config(extra="forbid")
class PostscriptMarker(TypedDict):
    postscript_marker: Text


@with_config(extra="forbid")
class NumBullets(TypedDict):
    num_bullets: Count


@with_config(extra="forbid")
class NumHighlights(TypedDict):
    num_highlights: Count


@with_config(extra="forbid")
class Sections(TypedDict):
    section_spliter: Text
    """Spelt as published."""
    num_sections: Count


@with_config(extra="forbid")
class PromptToRepeat(TypedDict):
    prompt_to_repeat: Text


@with_config(extra="forbid")
class EndPhrase(TypedDict):
    end_phrase: Text


def validated(accepted: type, given: dict[str, Any]) -> dict[str, Any]:
    """`given` as `accepted` wants it. Raises ValueError (pydantic's is one)."""
    arguments = _adapter(accepted).validate_python(given)
    for count, relation in (("num_words", "relation"), ("num_sentences", "relation")):
        if arguments.get(count) == 1 and arguments[relation] == "less than":
            raise ValueError(f"no answer has less than 1 ({count})")
    if arguments.get("nth_paragraph", 0) > arguments.get("num_paragraphs", 0):
        raise ValueError(
            f"there is no paragraph {arguments['nth_paragraph']} of {arguments['num_paragraphs']}"
        )
    return arguments


@cache
def _adapter(accepted: type) -> TypeAdapter[Any]:
    return TypeAdapter(accepted)
