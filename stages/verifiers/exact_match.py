"""Reward 1 when the whole answer is the ground truth, character by character.

Texts are compared in Unicode's canonical form (UAX 15), so that an accent is the same composed or not; lookalike
and invisible characters differ.
"""

import unicodedata
from typing import Unpack

from pydantic import TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.reading import after_thinking, shortened
from stages.verifiers.verifier import Verifier

_MAX_CHARACTERS = 10_000
_TEXTS = TypeAdapter(list[str])


@with_config(extra="forbid")
class ExactMatchArguments(TypedDict, total=False):
    """How strictly, and with what."""

    case_sensitive: bool
    """Default true. Otherwise upper and lower case are the same (Unicode's case folding)."""

    strip: bool
    """Default true: white space around answer and ground truth does not count."""

    any_of: bool
    """Default false. Otherwise the ground truth is a JSON list of texts, each of them right."""


def exact_match(completion: str, problem: PosedProblem, **arguments: Unpack[ExactMatchArguments]) -> Verdict:
    """Compare what follows the thinking as a whole: nothing may stand beside it."""
    expected = {_canonical(text, arguments) for text in _accepted(problem.ground_truth, arguments)}
    answer = after_thinking(completion)
    if arguments.get("strip", True):
        answer = answer.strip()
    # A canonical form is never shorter than its text. Making it takes quadratic time on accents without end.
    if len(answer) <= max(map(len, expected)) and _canonical(answer, arguments) in expected:
        return Verdict(1.0, "same text")
    return Verdict(0.0, f"answered {shortened(answer)!r}, expected {shortened(problem.ground_truth)!r}")


def first_accepted(problem: PosedProblem, **arguments: Unpack[ExactMatchArguments]) -> str:
    """The ground truth, or the first of its texts."""
    return _accepted(problem.ground_truth, arguments)[0]


EXACT_MATCH = Verifier(
    summary="the answer as text, to the letter",
    quick=exact_match,
    arguments=ExactMatchArguments,
    completion_of=first_accepted,
    answers="text",
)


def _accepted(ground_truth: str, arguments: ExactMatchArguments) -> list[str]:
    """At least one text, none of them blank."""
    several = arguments.get("any_of", False)
    try:
        texts = _TEXTS.validate_json(ground_truth, strict=True) if several else [ground_truth]
    except ValidationError:
        texts = list[str]()
    if not texts or not all(text.strip() for text in texts) or len(ground_truth) > _MAX_CHARACTERS:
        raise GroundTruthError(
            f"The ground truth {shortened(ground_truth)!r} is nothing to compare with.",
            f"{'a JSON list of texts, none blank' if several else 'a text'}, "
            f"of 1 to {_MAX_CHARACTERS:,} characters",
            "Fix the row or drop it.",
        )
    return texts


def _canonical(text: str, arguments: ExactMatchArguments) -> str:
    if arguments.get("strip", True):
        text = text.strip()
    decomposed = unicodedata.normalize("NFD", text)
    if arguments.get("case_sensitive", True):
        return decomposed
    return unicodedata.normalize("NFD", decomposed.casefold())
