"""Which rules watch which kind of training, when each is asked, and how often it must hold before it speaks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from data_contracts.alarms import AlarmName, TrainingKind
from data_contracts.histories import History
from stages.alarms.collapse import (
    DISTINCT,
    ENTROPY,
    SIMILARITY,
    diversity_collapse,
    entropy_collapse,
    no_spread,
    saturation,
)
from stages.alarms.evidence import Finding
from stages.alarms.growth import (
    FAILED,
    KL,
    KL_TO_START,
    LENGTH,
    TRUNCATED,
    kl_divergence,
    length_runaway,
    truncation,
    verifier_failures,
)
from stages.alarms.learning import loss_stall, over_fitting, reward_stall
from stages.alarms.numerics import gradient_explosion, loss_spike, not_finite
from stages.alarms.preference import CHOSEN, MARGINS, REJECTED, both_falling
from stages.alarms.truth import (
    ACCURACY,
    ACCURACY_HIGH,
    ACCURACY_LOW,
    NO_SPREAD,
    REWARD,
    SPREAD,
    reward_hacking,
)

Judge: TypeAlias = Callable[[History], Finding | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A judgement and its hysteresis."""

    name: AlarmName
    metrics: tuple[str, ...]
    """A new point of one of them is a look."""

    judge: Judge
    beside: tuple[str, ...] = ()
    """What else it reads."""

    looks: int = 3
    """It must hold on so many looks in a row."""

    is_recent: bool = False
    """It judges the newest points as logged, instead of the whole run."""


def rules_for(kind: TrainingKind, planned_steps: int) -> tuple[Rule, ...]:
    """Every rule of a kind of training that is to last so many steps."""
    loss, norm = f"{kind}/loss", f"{kind}/grad_norm"
    numbers = (loss, norm, f"{kind}/entropy", KL, KL_TO_START)
    everywhere = (
        Rule("not_finite", numbers, partial(not_finite, metrics=numbers), looks=1, is_recent=True),
        Rule(
            "gradient_explosion", (norm,), partial(gradient_explosion, metric=norm), looks=2, is_recent=True
        ),
    )
    if kind == "grpo":
        return everywhere + _grpo_rules(planned_steps)
    held_out = f"{kind}/held_out/loss"
    supervised = (
        Rule("loss_spike", (loss,), partial(loss_spike, metric=loss), looks=2, is_recent=True),
        Rule("stall", (loss,), partial(loss_stall, planned_steps=planned_steps, metric=loss)),
        Rule(
            "over_fitting",
            (held_out,),
            partial(over_fitting, held_out=held_out, training=loss),
            (loss,),
            looks=2,
        ),
    )
    if kind == "dpo":
        return (*everywhere, *supervised, Rule("both_falling", (CHOSEN,), both_falling, (REJECTED, MARGINS)))
    return everywhere + supervised


def _grpo_rules(planned_steps: int) -> tuple[Rule, ...]:
    truth = (REWARD, SPREAD, NO_SPREAD, ACCURACY, ACCURACY_LOW, ACCURACY_HIGH)
    stall = partial(reward_stall, planned_steps=planned_steps)
    return (
        Rule("entropy_collapse", (ENTROPY,), entropy_collapse, truth),
        Rule("diversity_collapse", (DISTINCT, SIMILARITY), diversity_collapse, truth),
        Rule("saturation", (REWARD,), saturation, truth),
        Rule("stall", (REWARD,), stall, truth),
        Rule("kl_divergence", (KL, KL_TO_START), kl_divergence),
        Rule("length_runaway", (LENGTH,), length_runaway, truth),
        Rule("truncation", (TRUNCATED,), truncation),
        Rule("verifier_failures", (FAILED,), verifier_failures),
        Rule("no_spread", (NO_SPREAD,), no_spread, truth),
        Rule("reward_hacking", (ACCURACY,), reward_hacking, truth, looks=2),
    )
