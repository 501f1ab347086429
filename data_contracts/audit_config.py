"""Config of an audit of verifiers: what it asks, and what it does not let pass.

Shares of completions are compared by the lower end of their 95 % Wilson interval, so that a small audit does not
block by chance.
"""

from typing import Literal

from pydantic import Field

from data_contracts.rewards import Combination, Rewards, RewardTerm
from data_contracts.vocabulary import Config, Fraction, PositiveInt, Rows


class AuditConfig(Config):
    """Show that the reward of these problems is right before a policy is trained on it. The rows pass unchanged."""

    kind: Literal["audit"] = "audit"
    rows: Rows
    """Problems. Each is read once, whatever its weight."""

    rewards: Rewards = Field(default={"problem": RewardTerm()})
    """What training will pay for: the `rewards` of the grpo stage that follows."""

    combine: Combination = "gate"
    """How several rewards become one: the `combine` of that stage."""

    metric: str | None = None
    """The verifier whose full rewards count as right when scripted policies are judged; by default the one that
    each problem names. It gets those of the problem's arguments that it takes."""

    fuzz_rows: PositiveInt = 200
    """Problems of each verifier that right and wrong completions are made for: a seeded sample, and one more for
    every shape of ground truth it lacks."""

    headroom_rows: PositiveInt = 500
    """Problems of each verifier that scripted policies are tried on, a seeded sample."""

    max_faults: Fraction = 0.0
    """Share of problems that nobody can solve, or whose verifier pays for an empty completion."""

    max_false_negatives: Fraction = 0.01
    """Share of right completions without full reward, for each form of them: a verifier that cannot read 1,200
    is wrong about every such problem, however rare they are."""

    max_false_positives: Fraction = 0.0
    """Share of wrong completions with full reward, for each form of them."""

    max_failures: Fraction = 0.01
    """Share of completions that the verifier gave no verdict on."""

    max_scripted_reward: float = Field(default=0.3, ge=0, le=1)
    """Mean training reward of a scripted policy above which its metric must be at least half as high."""

    max_scripted_metric: Fraction = 0.9
    """Share of problems that a policy which knows nothing of the task, such as always the most common answer, may
    be right on."""

    max_verdict_seconds: float = Field(default=1.0, gt=0)
    """What 99 of 100 verdicts may take at most: less than the time after which a verifier is stopped and its reward
    is 0. A reward model or a judge may take longer."""

    seconds: float = Field(default=600.0, gt=0)
    """Time that the questions about one verifier may take. What is left then is not asked, which is a finding."""

    on_findings: Literal["stop", "warn"] = "stop"
    """Whether a finding that blocks ends the pipeline here or becomes a note."""
