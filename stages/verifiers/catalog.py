"""Every verifier by name, and the two questions the rest of the project asks: what is the verdict on this
completion, and can these problems be solved at all?
"""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError, GroundTruthError, RecipeError
from data_contracts.rows import Problem
from data_contracts.verdict import Verdict
from stages.verifiers.exact_number import exact_number
from stages.verifiers.format import FormatConditions, follows_format
from stages.verifiers.math_expression import math_expression
from stages.verifiers.reading import shortened


@with_config(extra="forbid")
class NoArguments(TypedDict):
    """The verifier takes none."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """`check(completion, ground_truth, **arguments)`, and how to prove that it can say yes."""

    check: Callable[..., Verdict]
    arguments: type
    """A TypedDict of the keyword arguments."""

    completion_of: Callable[[str], str] | None
    """A right completion made from the ground truth; None when the ground truth plays no part."""


def _in_box(ground_truth: str) -> str:
    return f"\\boxed{{{ground_truth}}}"


VERIFIERS: dict[str, Verifier] = {
    "exact_number": Verifier(exact_number, NoArguments, completion_of=str),
    "math_expression": Verifier(math_expression, NoArguments, completion_of=_in_box),
    "format": Verifier(follows_format, FormatConditions, completion_of=None),
}


def verify(name: str, arguments_json: str, completion: str, ground_truth: str) -> Verdict:
    """The verdict of the verifier called `name`; `arguments_json` holds its keyword arguments."""
    verifier = _verifier(name)
    return verifier.check(completion, ground_truth, **_read_arguments(name, verifier, arguments_json))


def require_verifier(name: str, arguments_json: str) -> None:
    """There is such a verifier, and it takes these arguments. Raises RecipeError or DataError."""
    _read_arguments(name, _verifier(name), arguments_json)


def ground_truth_fault(problem: Problem) -> str | None:
    """Why a problem's verifier rejects its own ground truth, or None. Raises DataError for bad arguments."""
    completion_of = _verifier(problem.verifier).completion_of
    completion = completion_of(problem.ground_truth) if completion_of else ""
    verdict = verify(problem.verifier, problem.arguments, completion, problem.ground_truth)
    if completion_of is None or verdict.reward == 1.0:
        return None
    return (
        f"its own ground truth {shortened(problem.ground_truth)!r} gets reward {verdict.reward:g} "
        f"({verdict.reason})"
    )


def require_gradable(problems: Iterable[Problem]) -> None:
    """Refuse problems whose verifier rejects its own ground truth: no policy could ever be right."""
    for position, problem in enumerate(problems):
        place = f"Row {position + 1}, verifier {problem.verifier}"
        try:
            fault = ground_truth_fault(problem)
        except DataError as error:
            raise type(error)(f"{place}: {error.found}", error.expected, error.do) from error
        if fault is not None:
            raise GroundTruthError(
                f"{place}: {fault}.", "reward 1 for the ground truth itself", "Fix the row or drop it."
            )


def _verifier(name: str) -> Verifier:
    verifier = VERIFIERS.get(name)
    if verifier is None:
        nearest = difflib.get_close_matches(name, VERIFIERS, n=1, cutoff=0.0)
        raise RecipeError(
            f"There is no verifier named {shortened(name)!r}.",
            f"one of {', '.join(VERIFIERS)}",
            f"Did you mean {nearest[0]}?",
        )
    return verifier


def _read_arguments(name: str, verifier: Verifier, arguments_json: str) -> dict[str, Any]:
    try:
        arguments: dict[str, Any] = _adapter(verifier.arguments).validate_json(arguments_json, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(key) for key in problem["loc"])
        raise DataError(
            f"The arguments {shortened(arguments_json)} of verifier {name} do not fit: "
            f"{f'{place}: ' if place else ''}{problem['msg']}.",
            f"a JSON object with no other keys than {list(verifier.arguments.__annotations__)}",
            "Fix the column arguments of this row.",
        ) from error
    return arguments


@cache
def _adapter(arguments: type) -> TypeAdapter[Any]:
    return TypeAdapter(arguments)
