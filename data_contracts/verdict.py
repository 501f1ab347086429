"""A verdict: the reward a verifier gives to one completion, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_REASON_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True)
class PosedProblem:
    """What a verifier may know of a problem besides its arguments."""

    prompt: str
    """All turns of the prompt, joined by a line break."""

    ground_truth: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reward` lies in [0, 1]; `reason` is for people; `parts` are a verifier's named components.

    A reason may quote anything, so it is cut to 4,000 characters, and halves of surrogate pairs, which no file of
    rows can hold, become question marks.
    """

    reward: float
    reason: str
    parts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 <= self.reward <= 1.0:  # also refuses nan
            raise ValueError(f"a reward lies in [0, 1], this verifier gave {self.reward}")
        reason = self.reason[:_REASON_CHARACTERS].encode(errors="replace").decode()
        object.__setattr__(self, "reason", reason)
