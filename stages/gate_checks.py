"""From two models' measurements to what each requirement of a gate found.

Verdicts (better, worse, not distinguishable) share one chance of error, alpha, by Holm's method, and so do the
improvements that are asked for. Guards do not: a gate passes only if every one of them holds, so a model that
should fail one of them passes with no more than that one's own chance of error (intersection-union test, Berger
1982). Each is judged by the worse end of its interval at 1 - alpha.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal, TypeAlias

import numpy as np

from data_contracts.errors import StageError
from data_contracts.gates import Check, GateQuestions, Requirement, Verdict3, metric_of
from stages.gate_metrics import Problems, measure, reach
from stages.gate_sentences import sentence_of
from stages.gate_tests import PairedEvidence, holm, paired_evidence

Asked: TypeAlias = Literal["improve_by", "not_worse_by", "at_least", "at_most"]

_LESS_IS_BETTER = ("length", "truncated")
_MOVED_BY_SEEDS = ("accuracy", "reward", "pass")
"""What `seed_spread`, which is measured in accuracy, says something of."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """One metric of two models on the problems that both have."""

    before: float
    after: float
    is_less_better: bool
    gain: PairedEvidence
    """Of the change for the better: after minus before, or the opposite where less is better."""

    floor: float
    """A smaller change is no change."""

    p_adjusted: float = 1.0
    p_enough: float = 1.0
    """After Holm, that the gain is more than is asked; the same as `p_adjusted` where that is 0."""

    def verdict(self, alpha: float) -> Verdict3:
        if self.p_adjusted > alpha or abs(self.gain.effect) < self.floor:
            return "not distinguishable"
        return "better" if self.gain.effect > 0 else "worse"


def check_all(
    questions: GateQuestions, before: Problems | None, after: Problems, baseline: str | None, seed: int
) -> tuple[Check, ...]:
    """One check a requirement, in order.

    `before` and `after` may differ in a few problems; what is compared is compared on those that both have. Raises
    StageError for a metric that these rows do not have.
    """
    compared = {} if before is None else _compare_all(questions, before, after, seed)
    level = questions.alpha / max(1, sum(each.p_adjusted > questions.alpha for each in compared.values()))
    checks: list[Check] = []
    for metric, requirement in questions.metrics.items():
        if metric in compared:
            checks += _paired_checks(metric, requirement, compared[metric], questions, level)
        own = list(measure(metric, after, before or {}).values())
        checks += _own_checks(metric, requirement, own, has_baseline=before is not None)
    return tuple(
        check.model_copy(update={"sentence": sentence_of(check, questions, baseline)}) for check in checks
    )


def _compare_all(
    questions: GateQuestions, before: Problems, after: Problems, seed: int
) -> dict[str, _Compared]:
    compared: dict[str, _Compared] = {}
    for metric, requirement in questions.metrics.items():
        if requirement.improve_by is not None or requirement.not_worse_by is not None:
            compared[metric] = _compare(metric, before, after, questions.seed_spread, seed)
    asked = {metric: questions.metrics[metric].improve_by or 0.0 for metric in compared}
    alone = [each.gain.p_value() for each in compared.values()]
    enough = [_p_more_than(asked[metric], each.gain) for metric, each in compared.items()]
    adjusted = holm(alone)
    adjusted_enough = adjusted if enough == alone else holm(enough)
    return {
        metric: replace(each, p_adjusted=p_adjusted, p_enough=p_enough)
        for (metric, each), p_adjusted, p_enough in zip(
            compared.items(), adjusted, adjusted_enough, strict=True
        )
    }


def _compare(metric: str, before: Problems, after: Problems, seed_spread: float, seed: int) -> _Compared:
    was, now = measure(metric, before, after), measure(metric, after, before)
    shared = sorted(was.keys() & now.keys())
    if not shared:
        raise StageError(
            f"No problem has {metric} of both models.",
            "evaluations of both models on the same problems",
            "Change the gate's metric, or evaluate both models anew.",
        )
    quantity, _ = metric_of(metric)
    is_less_better = quantity in _LESS_IS_BETTER
    values = [np.array([each[key] for key in shared]) for each in (was, now)]
    worst, best = reversed(values) if is_less_better else values
    return _Compared(
        before=fmean(values[0]),
        after=fmean(values[1]),
        is_less_better=is_less_better,
        gain=paired_evidence(worst, best, reach=reach(metric, [before, after]), seed=seed),
        floor=seed_spread if quantity.startswith(_MOVED_BY_SEEDS) else 0.0,
    )


def _p_more_than(amount: float, gain: PairedEvidence) -> float:
    """Two-sided, but that only a gain can be more: never below the p of a difference at all."""
    return max(gain.p_value(), min(1.0, 2 * gain.p_above(amount))) if amount else gain.p_value()


def _paired_checks(
    metric: str, requirement: Requirement, compared: _Compared, questions: GateQuestions, level: float
) -> Iterator[Check]:
    """`level` is the alpha that Holm leaves a metric which is not decided yet."""
    low, high = compared.gain.interval(questions.alpha)
    sign = -1 if compared.is_less_better else 1
    found: dict[str, Any] = {
        "metric": metric,
        "before": compared.before,
        "after": compared.after,
        "effect": sign * compared.gain.effect + 0.0,
        "low": min(sign * low, sign * high) + 0.0,
        "high": max(sign * low, sign * high) + 0.0,
        "p_value": compared.gain.p_value(),
        "p_adjusted": compared.p_adjusted,
        "test": compared.gain.test,
        "num_problems": len(compared.gain.differences),
        "verdict": compared.verdict(questions.alpha),
        "sentence": "",
    }
    is_estimate = requirement.judge_by == "estimate"
    if (asked := requirement.improve_by) is not None:
        holds, is_open = _improves(compared, asked, questions.alpha, is_estimate)
        needed = compared.gain.needed(asked, level, questions.power) if is_open else None
        yield Check(requirement="improve_by", bound=asked, holds=holds, needed_problems=needed, **found)
    if (margin := requirement.not_worse_by) is not None:
        effect = compared.gain.effect
        # A measured difference of 0 is none, whatever the margin.
        holds = effect > -margin or effect == 0 if is_estimate else low > -margin
        is_open = not holds and not is_estimate and high >= -margin
        needed = compared.gain.needed(-margin, questions.alpha, questions.power) if is_open else None
        yield Check(requirement="not_worse_by", bound=margin, holds=holds, needed_problems=needed, **found)


def _improves(compared: _Compared, asked: float, alpha: float, is_estimate: bool) -> tuple[bool, bool]:
    """Whether it is shown, and, where it is not, whether more problems could tell."""
    effect, verdict = compared.gain.effect, compared.verdict(alpha)
    is_seed_noise = abs(effect) < compared.floor
    if is_estimate:
        return effect > asked and not is_seed_noise, False
    holds = verdict == "better" and compared.p_enough <= alpha
    is_refuted = verdict == "worse" or (asked > 0 and compared.gain.interval(alpha)[1] < asked)
    return holds, not (holds or is_refuted or is_seed_noise)


def _own_checks(
    metric: str, requirement: Requirement, own: list[float], *, has_baseline: bool
) -> Iterator[Check]:
    """Bounds of the model's own value; and, where there is no baseline, comparisons, which then hold."""
    value = fmean(own)
    asked: list[tuple[Asked, float | None, bool]] = [
        ("at_least", requirement.at_least, requirement.at_least is None or value >= requirement.at_least),
        ("at_most", requirement.at_most, requirement.at_most is None or value <= requirement.at_most),
    ]
    if not has_baseline:
        asked = [
            ("improve_by", requirement.improve_by, True),
            ("not_worse_by", requirement.not_worse_by, True),
            *asked,
        ]
    for name, bound, holds in asked:
        if bound is not None:
            yield Check(
                metric=metric,
                requirement=name,
                bound=bound,
                before=None,
                after=value,
                num_problems=len(own),
                holds=holds,
                sentence="",
            )
