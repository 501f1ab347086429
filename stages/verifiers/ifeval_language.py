"""IFEval's constraints on language, for worker processes: reading the language profiles takes half a second.

The profiles, character classes and smoothing are langdetect's (1.0.9, which the reference implementation uses): a
naive Bayes classifier over the 1- to 3-grams of words. langdetect samples n-grams at random until one language
prevails, so that a verdict changes from run to run. Here all n-grams count, which needs no randomness, is what its
samples tend to, and is faster.

Deliberate differences from the reference implementation: text without a word of any known language is in none (there
it is in the wanted one); text in capitals is read as lower-case (langdetect skips words in capitals, then guesses);
at most a seventh of the text may stand in parts that are clearly in another language, such as a title or a
quotation, beside the prompt where another constraint wants it repeated.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, repeat
from operator import add
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np
from langdetect.detector import Detector
from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
from langdetect.utils.ngram import NGram
from langdetect.utils.unicode_block import UNICODE_LATIN_EXTENDED_ADDITIONAL, unicode_block
from numpy.typing import NDArray

from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.ifeval import IfevalArguments, judged

_BLOCK = (80, 400)
"""Characters of a block at least, unless it is the last, and of a line at most: a language hides in no more."""

_CERTAIN = 200
"""N-grams that make a block's language certain enough to count by itself: some twelve different words."""

_CLEARLY = 0.25
"""Nats per n-gram by which another language must be likelier for such a block to be foreign. Neighbours such as
Danish and Norwegian lie below."""

_MOST_FOREIGN = 0.15
"""Of all n-grams, those in foreign blocks: room for a title or a quotation, not for an answer."""

_SMOOTHING = Detector.ALPHA_DEFAULT / Detector.BASE_FREQ


class _Profiles(NamedTuple):
    languages: list[str]
    row_of: dict[str, int]
    """Of an n-gram in `log_probabilities`, whose last row, all 0, is that of any other."""

    log_probabilities: NDArray[np.float64]
    """One column for each language."""


def ifeval_with_languages(
    completion: str, problem: PosedProblem, **arguments: Unpack[IfevalArguments]
) -> Verdict:
    """All of the constraints. Raises DataError for a faulty one."""
    del problem
    verdict = judged(completion, arguments, is_in_language)
    assert verdict is not None  # nothing is left open once languages are known
    return verdict


def is_in_language(text: str, language: str, quoted: str = "") -> bool:
    """Whether `language` is the likeliest for the text, and little of it but `quoted` is clearly in another."""
    whole = np.zeros(len(_PROFILES.languages)) + sum(_log_likelihood(block)[0] for block in _blocks(text))
    known = foreign = 0
    for block in _blocks(text.replace(quoted, "\n") if quoted else text):
        log_likelihood, count = _log_likelihood(block)
        if count >= _CERTAIN and _lead(log_likelihood, language) < -_CLEARLY * count:
            foreign += count
        known += count
    return known > 0 and foreign <= _MOST_FOREIGN * known and _lead(whole, language) >= 0


def _blocks(text: str) -> Iterator[str]:
    """Lines; short ones together, long ones in parts."""
    least, most = _BLOCK
    pending = ""
    for line in text.split("\n"):
        for start in range(0, len(line), most):
            pending += f"{line[start : start + most]}\n"
            if len(pending) >= least:
                yield pending
                pending = ""
    yield pending


def _lead(log_likelihood: NDArray[np.float64], language: str) -> float:
    """Nats by which `language` is likelier than any other."""
    column = _PROFILES.languages.index(language)
    lead = log_likelihood[column] - np.delete(log_likelihood, column).max()
    return round(float(lead), 6)  # beyond the noise of floating point, which differs between machines


@lru_cache(maxsize=64)
def _log_likelihood(text: str) -> tuple[NDArray[np.float64], int]:
    """One number for each language, and how many n-grams they rest on. Loose readings share most blocks."""
    ngrams = _ngrams(_words(text))
    rows = np.fromiter(map(_PROFILES.row_of.get, ngrams, repeat(-1)), int, len(ngrams))
    counts = np.fromiter(ngrams.values(), float, len(ngrams))
    return counts @ _PROFILES.log_probabilities[rows], int(counts[rows >= 0].sum())


def _ngrams(words: str) -> Counter[str]:
    """Those that reach across words are in no profile, and so do not count."""
    bigrams = list(map(add, words, words[1:]))
    return Counter(chain(words, bigrams, map(add, bigrams, words[2:])))


def _words(text: str) -> str:
    """As langdetect reads them: one space around each, no addresses, no Latin words in text of another script.

    But each word once: words that return, as in lists, say no more about the language.
    """
    if "://" in text:
        text = Detector.URL_RE.sub(" ", text)
    if "@" in text:
        text = Detector.MAIL_RE.sub(" ", text)
    text = text.lower() if text.isupper() else text
    if not text.isascii():
        text = _without_minor_latin(NGram.normalize_vi(text))
    words = text.translate({ord(each): _normal(each) for each in set(text)}).split()
    if not text.islower():
        words = [word for word in words if len(word) == 1 or not word.isupper()]
    return f" {' '.join(dict.fromkeys(words))} "


def _without_minor_latin(text: str) -> str:
    characters = Counter(text)
    latin = sum(count for each, count in characters.items() if "A" <= each <= "z")
    other = sum(count for each, count in characters.items() if _is_far_from_latin(each))
    if latin * 2 >= other:
        return text
    return text.translate({ord(each): None for each in characters if "A" <= each <= "z"})


@lru_cache(maxsize=65_536)
def _is_far_from_latin(character: str) -> bool:
    return character >= "\u0300" and unicode_block(character) != UNICODE_LATIN_EXTENDED_ADDITIONAL


@lru_cache(maxsize=65_536)
def _normal(character: str) -> str:
    return NGram.normalize(character)


def _read_profiles(documents: Iterable[str]) -> _Profiles:
    factory = DetectorFactory()
    factory.load_json_profile(list(documents))
    ngrams = factory.word_lang_prob_map
    known = np.log(np.array(list(ngrams.values())) + _SMOOTHING)
    return _Profiles(
        factory.get_lang_list(),
        {ngram: row for row, ngram in enumerate(ngrams) if ngram != " "},
        np.vstack([known, np.zeros(len(known[0]))]),
    )


# Read at import: a worker's first completion must not pay for it from its processor time.
_PROFILES = _read_profiles(
    profile.read_text(encoding="utf-8") for profile in sorted(Path(PROFILES_DIRECTORY).iterdir())
)
