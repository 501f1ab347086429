r"""The exact value of plain arithmetic in LaTeX or prose, such as (16 - 3 - 4) \times 2: + - * / and brackets."""

import re
from fractions import Fraction
from itertools import pairwise

from stages.verifiers.equalities import Side, equalities
from stages.verifiers.math_text import one_spelling
from stages.verifiers.shunting_yard import literal, value_of

_MAX_CHARACTERS = 300
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|(\\times|\\cdot|\\div|[-+*/()]))\s*")
_SAME = {r"\times": "*", r"\cdot": "*", r"\div": "/"}
_MONEY = str.maketrans("", "", "$\u20ac\u00a3")


def arithmetic_value(expression: str) -> Fraction | None:
    """None for anything that is more, or is no sum at all. `expression` is in its one spelling."""
    bare = expression.translate(_MONEY).strip()
    if not bare or len(bare) > _MAX_CHARACTERS:
        return None
    tokens: list[str] = []
    position = 0
    while position < len(bare):
        token = _TOKEN.match(bare, position)
        if token is None:
            return None
        tokens.append(token[1] or _SAME.get(token[2], token[2]))
        position = token.end()
    value = value_of(tokens)
    return None if value is None or value.number is None else Fraction(value.number)


def is_false_equation(text: str) -> bool:
    """Whether two sides next to each other differ, both read whole. What words cut is no evidence."""
    spelled = one_spelling(text)
    return any(_differ(left, right) for chain in equalities(spelled) for left, right in pairwise(chain))


def _differ(left: Side, right: Side) -> bool:
    """An unending decimal may be rounded or cut: 100 / 3 = 33. Percent may label its number: 45 + 21 = 66%."""
    if left and right and (left[-1] == "%") != (right[-1] == "%"):
        unlabelled = [tuple(part for part in side if part != "%") for side in (left, right)]
        return _values_differ(left, right) and _values_differ(*unlabelled)
    return _values_differ(left, right)


def _values_differ(left: Side, right: Side) -> bool:
    values = [value_of(side) if side else None for side in (left, right)]
    numbers = [Fraction(value.number) for value in values if value and value.number is not None]
    if len(numbers) < 2 or numbers[0] == numbers[1]:
        return False
    return not (_rounds(numbers[0], right) or _rounds(numbers[1], left))


def _rounds(exact: Fraction, written: Side) -> bool:
    *sign, digits = written or ("",)
    if sign not in ([], ["-"]) or not digits[-1:].isdigit() or has_finite_decimal(exact):
        return False
    value = Fraction(literal(digits)) * (-1 if sign else 1)
    return abs(exact - value) < Fraction(1, 10 ** len(digits.partition(".")[2]))


def has_finite_decimal(number: Fraction) -> bool:
    """Unlike 1/3."""
    rest = number.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1
