"""Gates: what a model has to show before anything follows from it, and what was found.

A gate compares a model with a baseline on the same problems, metric by metric. Every metric ends in one of three
verdicts, better, worse or not distinguishable, and the gate passes when every requirement holds.
"""

import re
from typing import Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from data_contracts.vocabulary import Config, Fraction, PositiveInt

_METRIC = re.compile(
    r"(?P<quantity>accuracy|reward|pass@[1-9]\d*|length|truncated|part\.[\w.]+)(?::(?P<source>.+))?"
)

Verdict3: TypeAlias = Literal["better", "worse", "not distinguishable"]


class Requirement(Config):
    """What one metric has to show, in the metric's own unit (0.01 is a point of accuracy; length is in tokens).

    Better means more, except for `length` and `truncated`, where it means less.
    """

    improve_by: float | None = Field(default=None, ge=0)
    """Better than the baseline by more than this, shown by a test."""

    not_worse_by: float | None = Field(default=None, ge=0)
    """Worse than the baseline by less than this margin, shown by a test (non-inferiority)."""

    at_least: float | None = None
    at_most: float | None = None
    """Bounds of the model's own value, whatever the baseline."""

    judge_by: Literal["interval", "estimate"] = "interval"
    """`estimate` takes the measured difference as it is: for a guard set too small to show anything."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if all(value is None for value in (self.improve_by, self.not_worse_by, self.at_least, self.at_most)):
            raise ValueError("ask for one of improve_by, not_worse_by, at_least, at_most")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"nothing is at least {self.at_least:g} and at most {self.at_most:g}")
        return self


class GateQuestions(Config):
    """What a gate asks; the same for a gate of a recipe and for promotion."""

    metrics: dict[str, Requirement] = Field(default={"accuracy": Requirement(improve_by=0.0)}, min_length=1)
    """By name: accuracy, reward, pass@K, length, truncated, part.NAME (a part of the verdicts, such as part.format),
    each also of one source of problems alone, as `accuracy:gsm8k`."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Chance of calling two equal models better or worse, over all metrics together (Holm)."""

    power: float = Field(default=0.8, ge=0.5, lt=1)
    """Of the number of problems that would have decided."""

    seed_spread: float = Field(default=0.0, ge=0)
    """How far accuracy moves between seeds of one recipe (`burnish rerun --seed-sweep` measures it): a smaller
    difference in accuracy, reward or pass@K is never better or worse, whatever its p."""

    flips: PositiveInt = 5
    """Changed completions that are shown, each way."""

    @field_validator("metrics")
    @classmethod
    def _are_known(cls, metrics: dict[str, Requirement]) -> dict[str, Requirement]:
        for name, requirement in metrics.items():
            if _METRIC.fullmatch(name) is None:
                raise ValueError(
                    f"{name!r} is no metric: accuracy, reward, pass@K, length, truncated or part.NAME, each also "
                    "as METRIC:SOURCE"
                )
            if not metric_of(name)[0].startswith(("length", "part.")):
                _require_share(name, requirement)
        return metrics


def _require_share(metric: str, requirement: Requirement) -> None:
    """A margin of 1 would hold whatever a model loses, and a gain or floor of more than 1 never."""
    margins = {"improve_by": requirement.improve_by, "not_worse_by": requirement.not_worse_by}
    for name, value in margins.items():
        if value is not None and value >= 1:
            raise ValueError(
                f"{metric} goes from 0 to 1, so {name}: {value:g} decides nothing; a point is 0.01"
            )
    if (requirement.at_least or 0) > 1:
        raise ValueError(f"{metric} is at most 1, never at least {requirement.at_least:g}; a point is 0.01")


START, CHAMPION = "start", "champion"
"""Baselines that are named by what they are to the model."""


class GateConfig(GateQuestions):
    """A gate of a recipe: what starts from the model waits for it. Reads the recipe's evaluation of both models."""

    kind: Literal["gate"] = "gate"
    start: str
    """The model under test."""

    against: str = "start"
    """`start` (what the model was trained from), another model of the recipe, `champion` (of the model's name, as
    promoted), or `models:/NAME/VERSION`."""


class Check(Config):
    """One requirement of one metric, and what was found."""

    metric: str
    requirement: Literal["improve_by", "not_worse_by", "at_least", "at_most"]
    bound: float
    before: float | None
    """The baseline's value; None for a bound of the model's own value, and without a baseline."""

    after: float
    effect: float | None = None
    """After minus before, in the metric's own unit."""

    low: float | None = None
    high: float | None = None
    """Interval of `effect` at 1 - alpha."""

    p_value: float | None = None
    p_adjusted: float | None = None
    """After Holm, over all metrics compared."""

    test: str = ""
    """In words, such as `exact McNemar, 16 against 20 discordant`."""

    num_problems: int
    verdict: Verdict3 | None = None
    """None for a bound of the model's own value."""

    needed_problems: int | None = None
    """That would have decided, were the measured difference the true one; None when it was decided, or is 0."""

    holds: bool
    sentence: str
    """What was found, for people."""


class Flip(Config):
    """A problem that one of the two models gets right more often."""

    problem_id: str
    prompt: str
    ground_truth: str
    before: Fraction
    after: Fraction
    completion_before: str
    reason_before: str
    completion_after: str
    reason_after: str


class GateVerdict(Config):
    """What a gate found."""

    passed: bool
    sentence: str
    """One, for people: why it passed or not."""

    candidate: str
    baseline: str | None
    """Of what it compares, in words, such as `tiny.grpo/3`; None when there was nothing to compare with."""

    checks: tuple[Check, ...]
    gained: tuple[Flip, ...] = ()
    lost: tuple[Flip, ...] = ()
    """The largest changes, each way."""

    num_gained: int = 0
    num_lost: int = 0
    """Problems that changed."""

    only_candidate: int = 0
    only_baseline: int = 0
    """Problems that the other model was not asked."""


def metric_of(name: str) -> tuple[str, str | None]:
    """Quantity and source: `accuracy:gsm8k` is `("accuracy", "gsm8k")`."""
    found = _METRIC.fullmatch(name)
    assert found is not None
    return found["quantity"], found["source"]
