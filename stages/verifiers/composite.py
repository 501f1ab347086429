"""One reward from several verifiers: how their verdicts are combined, without running any.

With `gate`, the default, one term must be wholly right before the others count, so that style can never pay for
a wrong answer.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired

from pydantic import Field, JsonValue, with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError
from data_contracts.verdict import Verdict
from stages.verifiers.verifier import Verifier

How = Literal["sum", "product", "gate", "min"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


@with_config(extra="forbid")
class TermArguments(TypedDict):
    """One verifier among several."""

    verifier: Name
    name: NotRequired[Name]
    """Of the term; default the verifier's. Needed where one verifier judges twice."""

    weight: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    arguments: NotRequired[dict[str, JsonValue]]
    """The verifier's own; default none."""

    ground_truth: NotRequired[str]
    """In the place of the problem's."""


@with_config(extra="forbid")
class CompositeArguments(TypedDict):
    """The terms, and how they become one reward."""

    terms: Annotated[list[TermArguments], Field(min_length=1, max_length=32)]
    how: NotRequired[How]
    """sum: the mean by weight. product: of reward ** weight. min: the least. gate (default): the mean by weight
    where the term called `gate` has reward 1, else 0."""

    gate: NotRequired[Name]


@dataclass(frozen=True, slots=True)
class Term:
    """What one verifier said."""

    name: str
    weight: float
    verdict: Verdict


def term_name(term: TermArguments) -> str:
    return term.get("name", term["verifier"])


def require_terms(arguments: CompositeArguments) -> None:
    """The terms have different names, the gate is one of them, none is a composite. Raises DataError."""
    names = [term_name(term) for term in arguments["terms"]]
    how, gate = arguments.get("how", "gate"), arguments.get("gate")
    if len(set(names)) < len(names):
        found, expected = f"The terms are named {', '.join(names)}.", "a name for each term"
    elif any(term["verifier"] == "composite" for term in arguments["terms"]):
        found, expected = "A composite is a term of a composite.", "terms that are verifiers of another kind"
    elif how == "gate" and gate not in names:
        found, expected = f"The gate is {gate}.", f"one of {', '.join(names)}"
    elif how != "gate" and gate is not None:
        found, expected = f"There is a gate, {gate}, and how is {how}.", "a gate only where how is gate"
    else:
        return
    raise DataError(found, expected, "Fix the arguments of the verifier composite.")


def combine(how: How, gate: str | None, terms: Sequence[Term]) -> Verdict:
    """The reward in [0, 1]. Parts: each term's reward under its name, its parts under `name.part`.

    `gate` is the name of a term where `how` is "gate", else unused.
    """
    parts: dict[str, float] = {}
    for term in terms:
        parts[term.name] = term.verdict.reward
        parts |= {f"{term.name}.{part}": value for part, value in term.verdict.parts.items()}
    worst = min(terms, key=lambda term: term.verdict.reward)
    if how == "gate":
        decisive = next(term for term in terms if term.name == gate)
        if decisive.verdict.reward != 1.0:
            return Verdict(0.0, f"the gate {gate} is shut: {decisive.verdict.reason}", parts)
    return Verdict(_COMBINED[how](terms), f"least {worst.name}: {worst.verdict.reason}", parts)


def _mean(terms: Sequence[Term]) -> float:
    total = math.fsum(term.weight for term in terms)
    return min(1.0, math.fsum(term.weight * term.verdict.reward for term in terms) / total)


def _product(terms: Sequence[Term]) -> float:
    return math.prod(term.verdict.reward**term.weight for term in terms)


def _least(terms: Sequence[Term]) -> float:
    return min(term.verdict.reward for term in terms)


_COMBINED: Mapping[How, Callable[[Sequence[Term]], float]] = {
    "sum": _mean,
    "product": _product,
    "gate": _mean,
    "min": _least,
}


COMPOSITE = Verifier(
    summary="several verifiers as one reward: gate, sum, product or min",
    arguments=CompositeArguments,
    require=require_terms,
)
