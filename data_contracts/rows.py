"""The four row kinds that pass between parts, and how a file's columns tell which one it holds."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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


class SFTExample(Row):
    """A conversation that ends with the assistant."""

    messages: tuple[Message, ...] = Field(min_length=2)


class PreferencePair(Row):
    """One prompt, the better and the worse completion."""

    prompt: tuple[Message, ...] = Field(min_length=1)
    chosen: str
    rejected: str


class Problem(Row):
    """A prompt whose completion a verifier can judge. The policy never sees `ground_truth`."""

    problem_id: str
    prompt: tuple[Message, ...] = Field(min_length=1)
    ground_truth: str
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
