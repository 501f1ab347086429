"""What a gate found, as sentences for people.

Rounding never contradicts a verdict: an end of an interval keeps as many decimals as show on which side of 0 it
lies, a p as many digits as show on which side of alpha.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from data_contracts.gates import Check, GateQuestions, metric_of

_LEAST_P = 0.001
_MOST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class _Unit:
    scale: float
    of_change: str
    of_value: str
    decimals: int


_POINTS, _TOKENS, _PLAIN = (
    _Unit(100, " points", " %", 1),
    _Unit(1, " tokens", " tokens", 1),
    _Unit(1, "", "", 3),
)


def sentence_of(check: Check, questions: GateQuestions, baseline: str | None) -> str:
    """What was found of one requirement; `check` has all but its sentence."""
    if check.requirement in ("at_least", "at_most"):
        return _bounded(check)
    if check.effect is None:
        return f"{check.metric} is {_value(check, check.after)}, with no other model to compare with"
    as_measured = ", taken as measured" * (questions.metrics[check.metric].judge_by == "estimate")
    found = _improvement if check.requirement == "improve_by" else _guard
    return found(check, questions, f"{baseline}", as_measured)


def verdict_sentence(checks: Sequence[Check]) -> str:
    """Why a gate passed or not: everything that failed, or what it asks first and how much else holds."""
    failed = [check.sentence for check in checks if not check.holds]
    if failed:
        return "refused: " + "; ".join(dict.fromkeys(failed))
    first = next((check for check in checks if check.requirement == "improve_by"), checks[0])
    others = len(checks) - 1
    return first.sentence + (
        f"; {others} more requirement{'s hold' if others > 1 else ' holds'}" if others else ""
    )


def _improvement(check: Check, questions: GateQuestions, baseline: str, as_measured: str) -> str:
    assert check.p_adjusted is not None
    is_tied = check.verdict == "not distinguishable"
    if is_tied and not as_measured and check.p_adjusted > questions.alpha:
        return f"{check.metric} is not distinguishable from {baseline} ({_seen(check, questions)}{_needed(check)})"
    found = f"{_placed(check, questions, baseline)}{as_measured}"
    asked = _amount(check, check.bound)
    if is_tied and not as_measured:
        return f"{found}, no more than seeds alone move it ({_amount(check, questions.seed_spread)})"
    if check.holds:
        return f"{found}, more than the {asked} asked" if check.bound else found
    return f"{found}, where more than {asked} is asked{_needed(check)}" if check.bound else found


def _guard(check: Check, questions: GateQuestions, baseline: str, as_measured: str) -> str:
    less = f"less than {_amount(check, check.bound)}" if check.bound else "nothing worse"
    if check.holds:
        worse = f"{less} worse" if check.bound else "not worse"
        return f"{check.metric} is {worse} than {baseline} ({_seen(check, questions)}){as_measured}"
    if as_measured or check.verdict == "worse":
        placed = _placed(check, questions, baseline)
        return f"{placed}{as_measured}, where {less} is allowed{_needed(check)}"
    assert check.low is not None and check.high is not None
    is_less_better = metric_of(check.metric)[0] in ("length", "truncated")
    worst = f"{_amount(check, check.high)} above" if is_less_better else f"{_amount(check, check.low)} below"
    return (
        f"{check.metric} may be {worst} {baseline}, where {less} is allowed "
        f"({_seen(check, questions)}{_needed(check)})"
    )


def _bounded(check: Check) -> str:
    value, bound = _value(check, check.after), _value(check, check.bound)
    asked = f"{check.requirement.replace('_', ' ')} {bound}"
    return f"{check.metric} is {value}, {asked} {'as' if check.holds else 'is'} asked"


def _placed(check: Check, questions: GateQuestions, baseline: str) -> str:
    """`accuracy is 16.7 points above sft/1 [+13.5, +19.9], p≤0.001 on 400 problems`."""
    assert check.effect is not None
    where = (
        f"{_amount(check, check.effect)} {'above' if check.effect > 0 else 'below'}"
        if check.effect
        else "level with"
    )
    return (
        f"{check.metric} is {where} {baseline} {_interval(check)}, {_p_text(check, questions.alpha)} "
        f"on {check.num_problems:,} problems"
    )


def _seen(check: Check, questions: GateQuestions) -> str:
    """`+0.4 points [-1.2, +2.0], p=0.62, 400 problems`."""
    assert check.effect is not None
    unit = _unit(check)
    effect = f"{unit.scale * check.effect:+.{_decimals(check)}f}{unit.of_change}"
    return f"{effect} {_interval(check)}, {_p_text(check, questions.alpha)}, {check.num_problems:,} problems"


def _needed(check: Check) -> str:
    if check.needed_problems is None:
        return ""
    step = 10 ** max(0, floor(log10(check.needed_problems)) - 1)
    return f"; about {ceil(check.needed_problems / step) * step:,} would decide"


def _interval(check: Check) -> str:
    assert check.low is not None and check.high is not None
    scale, decimals = _unit(check).scale, _decimals(check)
    return f"[{scale * check.low:+.{decimals}f}, {scale * check.high:+.{decimals}f}]"


def _amount(check: Check, value: float) -> str:
    """A change without its direction."""
    unit = _unit(check)
    decimals = _decimals(check) if value in (check.effect, check.low, check.high) else unit.decimals
    return f"{unit.scale * abs(value):.{decimals}f}{unit.of_change}"


def _value(check: Check, value: float) -> str:
    unit = _unit(check)
    return f"{unit.scale * value:.{unit.decimals}f}{unit.of_value}"


def _decimals(check: Check) -> int:
    unit = _unit(check)
    ends = [unit.scale * each for each in (check.effect, check.low, check.high) if each]
    enough = (d for d in range(unit.decimals, _MOST_DIGITS) if all(round(end, d) for end in ends))
    return next(enough, _MOST_DIGITS)


def _p_text(check: Check, alpha: float) -> str:
    """Of the metric alone, like the interval; and after Holm where that decides otherwise."""
    assert check.p_value is not None and check.p_adjusted is not None
    alone, together = (_digits(each, alpha) for each in (check.p_value, check.p_adjusted))
    is_overruled = check.p_value <= alpha < check.p_adjusted
    return f"p{alone}, {together.lstrip('=')} by Holm's method" if is_overruled else f"p{alone}"


def _digits(p_value: float, alpha: float) -> str:
    if p_value <= min(_LEAST_P, alpha):
        return f"≤{min(_LEAST_P, alpha):g}"
    texts = (f"{p_value:.{digits}g}" for digits in range(2, _MOST_DIGITS))
    same_side = (text for text in texts if (float(text) <= alpha) == (p_value <= alpha))
    return f"={next(same_side, f'{p_value:g}')}"


def _unit(check: Check) -> _Unit:
    quantity, _ = metric_of(check.metric)
    if quantity == "length":
        return _TOKENS
    return _PLAIN if quantity == "reward" or quantity.startswith("part.") else _POINTS
