"""Reward 1 when the completion has the asked shape. Conditions, not patterns: a pattern can take for ever.

The ground truth plays no part. Each condition is one part of the verdict, so a log shows which one fails.
"""

from typing import Annotated, Unpack

from pydantic import Field, with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.verifier import Verifier

Text = Annotated[str, Field(min_length=1)]


@with_config(extra="forbid")
class FormatConditions(TypedDict, total=False):
    """At least one; all that are given must hold."""

    starts_with: Text
    ends_with: Text
    contains: Annotated[list[Text], Field(min_length=1)]
    """Each exactly once, in this order, such as ["<think>", "</think>", "<answer>", "</answer>"]."""

    max_characters: Annotated[int, Field(gt=0)]


def follows_format(completion: str, problem: PosedProblem, **conditions: Unpack[FormatConditions]) -> Verdict:
    """All or nothing: a policy could collect part of a reward without ever completing the shape."""
    del problem
    holds: dict[str, bool] = {}
    if "starts_with" in conditions:
        holds["starts_with"] = completion.startswith(conditions["starts_with"])
    if "ends_with" in conditions:
        holds["ends_with"] = completion.endswith(conditions["ends_with"])
    if "contains" in conditions:
        holds["contains"] = _contains_in_order(completion, conditions["contains"])
    if "max_characters" in conditions:
        holds["max_characters"] = len(completion) <= conditions["max_characters"]
    if not holds:
        raise DataError(
            "The verifier format has no condition, so every completion would be right.",
            f"at least one of {', '.join(FormatConditions.__annotations__)}",
            'Add one to the arguments, such as {"contains": ["<answer>", "</answer>"]}.',
        )
    parts = {name: float(held) for name, held in holds.items()}
    broken = [name for name, held in holds.items() if not held]
    if broken:
        return Verdict(0.0, f"breaks {', '.join(broken)}", parts)
    return Verdict(1.0, "has the asked format", parts)


def _contains_in_order(completion: str, pieces: list[str]) -> bool:
    position = 0
    for piece in pieces:
        found = completion.find(piece)
        if found < position or completion.find(piece, found + 1) != -1:
            return False
        position = found + len(piece)
    return True


FORMAT = Verifier(
    summary="the asked shape: beginning, end, pieces in order, length",
    quick=follows_format,
    arguments=FormatConditions,
    answers="constraints",
)
