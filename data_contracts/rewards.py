"""What a policy is paid for: verifiers with weights, and how several become one reward."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from data_contracts.vocabulary import Config

PROBLEM_VERIFIER = "problem"
"""The name that stands for the verifier each problem names."""

Combination: TypeAlias = Literal["gate", "sum", "product", "min"]


class RewardTerm(Config):
    """One verifier's share in a reward."""

    weight: float = Field(default=1.0, gt=0, le=1e6)
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the verifier. Where the problem names the same verifier, its own are used."""

    order: int = Field(default=0, ge=0)
    """Its place among the terms, as they are written: the first decides with `gate`. Kept as a number, since a
    mapping that was stored as JSON may come back in another order."""


def _as_terms(value: Any) -> Any:
    """`a`, `[a, b]` and `{a: 1}` are short for `{a: {weight: 1}}`."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        if len(set(map(str, value))) < len(value):
            raise ValueError(f"{value} names a verifier twice; give a weight instead: {{name: 2}}")
        value = dict.fromkeys(map(str, value), 1.0)
    if isinstance(value, dict):
        terms = [
            (name, {"weight": term} if isinstance(term, int | float) else term)
            for name, term in value.items()
        ]
        return {
            name: {"order": number, **term} if isinstance(term, dict) else term
            for number, (name, term) in enumerate(terms)
        }
    return value


def _in_order(terms: dict[str, RewardTerm]) -> dict[str, RewardTerm]:
    return dict(sorted(terms.items(), key=lambda item: item[1].order))


Rewards: TypeAlias = Annotated[
    dict[str, RewardTerm],
    BeforeValidator(_as_terms),
    AfterValidator(_in_order),
    Field(min_length=1, validate_default=True),
]
