"""What a policy is paid for: verifiers with weights, and how several become one reward."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from data_contracts.vocabulary import Config, Weight

PROBLEM_VERIFIER = "problem"
"""The name that stands for the verifier each problem names."""

Combination: TypeAlias = Literal["gate", "sum", "product", "min"]


class RewardTerm(Config):
    """One verifier's share in a reward."""

    weight: Weight = 1.0
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the verifier. Where the problem names the same verifier, its own are used."""


def _as_terms(value: Any) -> Any:
    """`a`, `[a, b]` and `{a: 1}` are short for `{a: {weight: 1}}`."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        value = dict.fromkeys(map(str, value), 1.0)
    if isinstance(value, dict):
        return {
            name: {"weight": term} if isinstance(term, int | float) else term for name, term in value.items()
        }
    return value


Rewards: TypeAlias = Annotated[
    dict[str, RewardTerm], BeforeValidator(_as_terms), Field(min_length=1, validate_default=True)
]
