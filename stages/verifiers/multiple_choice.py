"""Reward 1 when the completion commits to the right option, and to no other.

A commitment is a \\boxed{B}, an announcement such as "the answer is (B)" or "I choose B", or, where there is neither, a
last line that is an option and nothing else, a first one with its reasons below, or a verdict such as "B is correct". A
second thought after it undoes it.
"""

from collections.abc import Mapping
from typing import Annotated, Unpack

from pydantic import Field, with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError, GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.option_letters import LETTERS, named_letters, plain_option
from stages.verifiers.reading import after_thinking, shortened
from stages.verifiers.verifier import Verifier


@with_config(extra="forbid")
class MultipleChoiceArguments(TypedDict, total=False):
    """Without the options only letters are read."""

    choices: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=2, max_length=10)]
    """The options' texts, in the order of their letters."""


def multiple_choice(
    completion: str, problem: PosedProblem, **arguments: Unpack[MultipleChoiceArguments]
) -> Verdict:
    """Compare letters; an option's full text stands for its letter."""
    letter_of = _letters(arguments.get("choices", []))
    expected = _expected_letter(problem.ground_truth, letter_of)
    named = named_letters(after_thinking(completion), letter_of)
    if not named:
        return Verdict(0.0, "names no option as the answer")
    if len(named) > 1:
        return Verdict(0.0, f"no single answer: {', '.join(sorted(named))}")
    letter = min(named)
    return Verdict(float(letter == expected), f"answered {letter}, expected {expected}")


def boxed_letter(problem: PosedProblem, **arguments: Unpack[MultipleChoiceArguments]) -> str:
    """The right option in a box."""
    return f"\\boxed{{{_expected_letter(problem.ground_truth, _letters(arguments.get('choices', [])))}}}"


MULTIPLE_CHOICE = Verifier(
    summary="the letter or text of the right option",
    quick=multiple_choice,
    arguments=MultipleChoiceArguments,
    completion_of=boxed_letter,
    answers="choice",
)


def _letters(choices: list[str]) -> dict[str, str]:
    """The letter of each option's text."""
    letter_of = {plain_option(choice): letter for letter, choice in zip(LETTERS, choices, strict=False)}
    mistaken = [text for text, letter in letter_of.items() if text.upper() in set(LETTERS) - {letter}]
    if len(letter_of) < len(choices) or "" in letter_of or mistaken:
        raise DataError(
            f"The choices {shortened(str(choices))} cannot be told apart by text and letter.",
            "different texts, none of them empty or the letter of another",
            "Fix the row, or drop the argument choices: then only letters are read.",
        )
    return letter_of


def _expected_letter(ground_truth: str, letter_of: Mapping[str, str]) -> str:
    text = plain_option(ground_truth)
    letter = letter_of.get(text, text.upper())
    possible = list(letter_of.values()) or list(LETTERS)
    if letter not in possible:
        raise GroundTruthError(
            f"The ground truth {shortened(ground_truth)!r} is none of the options.",
            f"a letter from {possible[0]} to {possible[-1]}{', or the full text of a choice' * bool(letter_of)}",
            "Fix the row or drop it.",
        )
    return letter
