"""A process reward for worked steps: how much of the arithmetic is right before the first error.

Every equality in the completion is checked exactly, the thinking included, since thinking is where the work is.
The reward is the share of steps before the first wrong one. What counts as a step:

- a false equality with an operation on either side, each time it is written;
- a true one that does something, the first time: not 1 = 1, 5 + 0 = 5, 3 * 1 = 3, 2 + 3 = 2 + 3, nor 3 + 2 = 5
  after 2 + 3 = 5. So neither copies nor empty truths pay.

A quotient without a finite decimal may be rounded or cut: 10 / 3 = 3.33. Equalities cut by words are no steps.
True but needless steps cannot be told from work, so give this reward next to one for the outcome.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Unpack

from pydantic import Field, with_config
from typing_extensions import TypedDict

from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.equalities import equalities
from stages.verifiers.reading import shortened
from stages.verifiers.shunting_yard import Number, Token, Value, literal, value_of
from stages.verifiers.verifier import Verifier


@with_config(extra="forbid")
class StepsArguments(TypedDict, total=False):
    min_steps: Annotated[int, Field(ge=1)]
    """Fewer steps get reward 0; 1 by default."""


@dataclass(frozen=True, slots=True)
class _Side:
    tokens: tuple[Token, ...]
    value: Value


@dataclass(frozen=True, slots=True)
class _Step:
    left: _Side
    right: _Side
    is_right: bool


def steps(completion: str, problem: PosedProblem, **arguments: Unpack[StepsArguments]) -> Verdict:
    """Parts: how many steps there are, and how many before the first wrong one."""
    del problem
    found = list(_steps(completion))
    first_wrong = next((place for place, step in enumerate(found) if not step.is_right), None)
    num_right = len(found) if first_wrong is None else first_wrong
    parts = {"steps": float(len(found)), "right_before_error": float(num_right)}
    fewest = arguments.get("min_steps", 1)
    if len(found) < fewest:
        return Verdict(0.0, f"{len(found)} worked steps, at least {fewest} asked for", parts)
    if first_wrong is None:
        return Verdict(1.0, f"all {len(found)} steps are right", parts)
    wrong = found[first_wrong]
    written = shortened(f"{' '.join(wrong.left.tokens)} = {' '.join(wrong.right.tokens)}")
    reason = f"step {first_wrong + 1} of {len(found)} is wrong: {written}"
    return Verdict(num_right / len(found), reason, parts)


def _steps(text: str) -> Iterator[_Step]:
    seen: set[tuple[Token, ...]] = set()
    for chain in equalities(text):
        sides = [_evaluated(side) for side in chain]
        is_computed = any(side.value.is_computed for side in sides if side)
        for left, right in pairwise(sides):
            if left is None or right is None or not is_computed:
                continue
            if not _equal(left, right):
                yield _Step(left, right, is_right=False)
                continue
            content = _content(left, right)
            if _is_work(left, right) and content not in seen:
                seen.add(content)
                yield _Step(left, right, is_right=True)


def _evaluated(tokens: tuple[Token, ...] | None) -> _Side | None:
    value = None if tokens is None else value_of(tokens)
    return None if tokens is None or value is None else _Side(tokens, value)


def _is_work(left: _Side, right: _Side) -> bool:
    return (left.value.is_work or right.value.is_work) and left.tokens != right.tokens


def _content(left: _Side, right: _Side) -> tuple[Token, ...]:
    """Its numbers and operators without their order: 3 + 2 = 5 and 5 = (2 + 3) say one thing."""
    symbols = (symbol for symbol in (*left.tokens, *right.tokens) if symbol not in "()")
    return tuple(sorted(str(literal(symbol)) if symbol[-1].isdigit() else symbol for symbol in symbols))


def _equal(left: _Side, right: _Side) -> bool:
    """Exactly, or as the rounded decimal that stands alone on one side."""
    a, b = left.value.number, right.value.number
    if a is None or b is None:
        return False
    return a == b or _is_written_as(a, right.tokens) or _is_written_as(b, left.tokens)


def _is_written_as(number: Number, tokens: tuple[Token, ...]) -> bool:
    """Whether a lone literal stands for `number`. With %, it may also be the label of a number of percent."""
    sign = -1 if tokens[0] == "-" else 1
    digits = tokens[1:] if tokens[0] in "+-" else tokens
    is_percent = digits[-1:] == ("%",)
    if len(digits) != 1 + is_percent:
        return False
    written = sign * literal(digits[0])
    num_decimals = len(digits[0].partition(".")[2])
    if not is_percent:
        return _rounds_to(number, written, num_decimals)
    return number == written or any(_rounds_to(n, written, num_decimals) for n in (number, number * 100))


def _rounds_to(number: Number, written: Number, num_decimals: int) -> bool:
    """Whether an unending decimal, rounded half up or cut, is `written`."""
    rest = Fraction(number).denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    if rest == 1 or num_decimals == 0:
        return False
    scaled = abs(Fraction(number)) * 10**num_decimals
    size = abs(Fraction(written)) * 10**num_decimals
    return number * written >= 0 and size in (int(scaled), int(scaled + Fraction(1, 2)))


STEPS = Verifier(
    summary="the share of worked steps before the first error",
    quick=steps,
    arguments=StepsArguments,
    answers="constraints",
)
