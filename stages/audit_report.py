"""What an audit found: numbers with their intervals, examples to look at, and the sentences that block."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stages.comparison import wilson_interval


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with the 95 % Wilson interval [low, high] of the share behind it."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.count / self.of if self.of else 0.0


def share_of(count: int, of: int) -> Share:
    return Share(count, of, *wilson_interval(count, of))


def sum_of(shares: list[Share]) -> Share:
    return share_of(sum(share.count for share in shares), sum(share.of for share in shares))


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem that cannot be trained on."""

    row: int
    """Position in the audited rows, from 0."""

    problem_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Example:
    """One verdict, with its completion shortened for reading."""

    problem_id: str
    ground_truth: str
    completion: str
    reward: float
    reason: str


@dataclass(frozen=True, slots=True)
class FormFinding:
    """How a verifier treats one form of completion."""

    form: str
    is_right: bool
    """Whether completions of this form must get full reward, or must not."""

    is_open: bool
    """Right verifiers differ on it, so that it counts in no rate and blocks nothing."""

    wrong: Share
    """False negatives where `is_right`, else those that were paid."""

    example: Example | None
    """The first wrong verdict."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A completion that two verifiers, or one that was asked twice, judge otherwise."""

    form: str
    first: Example
    second: Example


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """Both verifiers on all forms of completions."""

    verifier: str
    differ: Share
    examples: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True)
class Repetition:
    """The same completions judged twice by one verifier."""

    changed: Share
    """Rewards that were another the second time."""

    examples: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds a verdict took."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class PolicyScore:
    """What a policy without skill gets."""

    verifier: str
    policy: str
    problems: int
    reward: float
    """Mean training reward."""

    metric: float
    """Share of full rewards under the metric's verifier."""

    is_own: bool
    """Whether the verifier brought it, so that it may know the task."""


@dataclass(frozen=True, slots=True)
class VerifierFindings:
    """One verifier over the problems that name it."""

    verifier: str
    faults: Share
    fault_examples: tuple[Fault, ...]
    fuzzed: int
    """Problems that completions were made for."""

    not_stated: int
    """Of these, how many have no known form of a right completion, so that only wrong ones were tried."""

    lacks_policies: bool
    """Somebody's own verifier of things that are built, without a scripted policy for them."""

    false_negatives: Share
    false_positives: Share
    forms: tuple[FormFinding, ...]
    failures: Share
    """Completions without a verdict."""

    failure: str
    """How the last of them failed."""

    repeated: Repetition
    second: SecondOpinion | None
    seconds: Timing
    is_function: bool
    """Whether its verdicts come from code alone, at once and the same each time; a model's need not."""

    num_left: int
    """Questions that the audit had no time for."""

    policies: tuple[PolicyScore, ...]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All that an audit has to say. `blocks` is empty where training may begin."""

    problems: int
    verifiers: tuple[VerifierFindings, ...]
    blocks: tuple[str, ...]
    notes: tuple[str, ...]

    def metrics(self) -> dict[str, float]:
        """Over all verifiers; shares beside the lower and upper end of their intervals."""
        found = self.verifiers
        metrics = {"audit/problems": float(self.problems), "audit/blocks": float(len(self.blocks))}
        metrics["audit/faults"] = float(sum(each.faults.count for each in found))
        for name, share in (
            ("false_negatives", sum_of([each.false_negatives for each in found])),
            ("false_positives", sum_of([each.false_positives for each in found])),
        ):
            metrics |= {
                f"audit/{name}": share.value,
                f"audit/{name}_low": share.low,
                f"audit/{name}_high": share.high,
            }
        metrics["audit/changed_verdicts"] = float(sum(each.repeated.changed.count for each in found))
        metrics["audit/left"] = float(sum(each.num_left for each in found))
        metrics["audit/disagreements"] = float(sum(each.second.differ.count for each in found if each.second))
        metrics["audit/verdict_seconds_p50"] = max((each.seconds.p50 for each in found), default=0.0)
        metrics["audit/verdict_seconds_p99"] = max((each.seconds.p99 for each in found), default=0.0)
        metrics["audit/verdict_seconds_max"] = max((each.seconds.max for each in found), default=0.0)
        metrics["audit/scripted_reward"] = max(
            (score.reward for each in found for score in each.policies), default=0.0
        )
        return metrics

    def as_document(self) -> Mapping[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.as_document(), indent=2)
