"""The four row kinds that pass between parts, and how a file's columns tell which one it holds.

SFT examples, preference pairs and problems come from users, so their contracts refuse a row with the first
rule of `row_rules` that it breaks. They may carry more columns (level, subject), as long as those are scalars.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from data_contracts.row_rules import pair_fault, problem_fault, sft_fault

Scalar = bool | int | float | str | datetime | date | None


class RowKind(StrEnum):
    """What one row of a dataset version is."""

    sft = "sft"
    pairs = "pairs"
    problems = "problems"
    rollouts = "rollouts"
    raw = "raw"
    """A source kept as it came, for other datasets to select from."""


class Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Row):
    """One role-tagged turn."""

    role: Literal["system", "user", "assistant"]
    content: str


class SourcedRow(BaseModel):
    """A row made from someone's file: refused with the first rule that it breaks."""

    model_config = ConfigDict(frozen=True, extra="allow")

    __pydantic_extra__: dict[str, Scalar]  # pyright: ignore[reportIncompatibleVariableOverride] - how pydantic types extras

    fault: ClassVar[Callable[[Mapping[str, Any]], str | None]]
    """The first rule that a row of this kind breaks, as a sentence."""

    @model_validator(mode="before")
    @classmethod
    def _breaks_no_rule(cls, row: Any) -> Any:
        if isinstance(row, Mapping) and (reason := cls.fault(row)):
            raise PydanticCustomError("contract", "{reason}", {"reason": reason})
        return row


class SFTExample(SourcedRow):
    """A conversation that ends with the assistant."""

    fault = staticmethod(sft_fault)

    messages: tuple[Message, ...]


class PreferencePair(SourcedRow):
    """One prompt, the better and the worse completion."""

    fault = staticmethod(pair_fault)

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


class Problem(SourcedRow):
    """A prompt whose completion a verifier can judge. The policy never sees `ground_truth`."""

    fault = staticmethod(problem_fault)

    problem_id: str
    prompt: tuple[Message, ...]
    ground_truth: str
    """What the verifier compares with; may be empty where it judges by its arguments alone."""

    verifier: str
    arguments: str = "{}"
    """The verifier's keyword arguments, as a JSON object."""

    source: str
    """Where the problem comes from; metrics are split by it."""


class Rollout(Row):
    """One completion of a problem with its verdict."""

    problem_id: str
    sample: int
    prompt: tuple[Message, ...]
    ground_truth: str
    verifier: str
    arguments: str
    source: str
    completion: str
    completion_ids: tuple[int, ...]
    """Token ids as sampled, the end-of-sequence token included when it was produced."""

    finished: bool
    """Whether the completion ended by itself, before the token limit."""

    reward: float
    reason: str
    parts: str
    """The verdict's named components, as a JSON object."""


REQUIRED_COLUMNS: dict[RowKind, tuple[tuple[str, ...], ...]] = {
    RowKind.rollouts: (("problem_id", "completion", "reward"),),
    RowKind.problems: (("prompt", "ground_truth"),),
    RowKind.pairs: (("prompt", "chosen", "rejected"),),
    RowKind.sft: (("messages",), ("prompt", "completion")),
}
"""Per kind, the column sets any one of which makes a file that kind. Order matters: first match wins."""


def recognise_kind(columns: list[str]) -> RowKind | None:
    """The row kind these column names promise, or None."""
    present = set(columns)
    for kind, alternatives in REQUIRED_COLUMNS.items():
        if any(present.issuperset(needed) for needed in alternatives):
            return kind
    return None
