"""A verifier of yours: reward 1 when the completion ends in the word that the problem asks for.

Name it in a recipe, relative to the recipe's folder, and let problems name it:

    verifiers: {last_word: my_verifier.py:LAST_WORD}
    datasets: {problems: {path: problems.jsonl, verifier: last_word}}

Try it first: `burnish verifier check my_verifier.py:LAST_WORD --ground-truth blue`.

A policy will find every hole: be right on what it may write, not on what it should. Never run what you read
(no eval, no sympify), give the same verdict to the same completion, and say why. A completion that takes longer
than `cpu_seconds` gets reward 0. Packages can offer verifiers too, as entry points in the group
`burnish.verifiers`.
"""

from pydantic import with_config
from typing_extensions import TypedDict

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.reading import after_thinking
from stages.verifiers.verifier import Verifier


@with_config(extra="forbid")
class LastWordArguments(TypedDict, total=False):
    """What a problem's column `arguments` may hold, as JSON."""

    ignore_case: bool


def last_word(completion: str, problem: PosedProblem, ignore_case: bool = False) -> Verdict:
    """Compare the last word, without its punctuation. A broken problem raises, whatever the completion."""
    expected = problem.ground_truth.strip()
    if len(expected.split()) != 1:
        raise GroundTruthError(
            f"The ground truth {expected!r} is not one word.", "one word", "Fix the row or drop it."
        )
    answer = after_thinking(completion).split()
    if not answer:
        return Verdict(0.0, "no word in completion")
    found = answer[-1].strip(".,;:!?'\"")
    is_right = found.casefold() == expected.casefold() if ignore_case else found == expected
    return Verdict(float(is_right), f"ends in {found[:40]!r}, expected {expected!r}")


def right_completion(problem: PosedProblem, ignore_case: bool = False) -> str:
    """A completion that must earn 1: how Burnish proves that the problem can be solved."""
    del ignore_case
    return f"The word is {problem.ground_truth}."


LAST_WORD = Verifier(
    summary="the last word of the answer",
    quick=last_word,
    arguments=LastWordArguments,
    completion_of=right_completion,
)
