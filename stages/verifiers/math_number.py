r"""Exact numbers as people write them, with their units: 1,200; \frac12; 1 1/2; 0.1\overline{6}; 3\times10^4; 30^\circ.

Equality is exact: 0.333 is not 1/3. A unit that only one side has plays no part; where both have one, it must
be the same, since nothing is converted. Percent is the exception that graders agree on (Hendrycks' MATH grader
drops the sign, math-verify divides by 100): 50% equals 50% and 50 and 1/2, but nothing else. A base that only
one side has plays no part either. Words that scale, such as million, multiply.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from stages.verifiers.units import read_unit

_MAX_EXPONENT = 400
_NUMBER = re.compile(
    r"""
    (?: (?: \\approx | \\text\{[ ]?(?:about|approximately)[ ]?\} | about\b | approximately\b | = ) \s* )?
    (?P<money> [$\u20ac\u00a3] \s* )?
    (?P<sign> [-+] \s* )?
    (?P<currency> [$\u20ac\u00a3] \s* )?
    (?: (?: (?P<mixed> \d+ ) \s* (?: \\text\{[ ]and[ ]\} | and\s )? \s* )?
        \\frac\{ \s* (?P<minus>-)? \s* (?P<above> \d+(?:\.\d+)? | \.\d+ ) \s* \}
               \{ \s* (?P<below> -?\d+(?:\.\d+)? ) \s* \}
      | (?: (?P<whole> \d+ ) [ ]+ (?:and[ ]+)? )? (?P<top> \d+(?:\.\d+)? | \.\d+ ) \s* / \s* (?P<bottom> \d+(?:\.\d+)? )
      | (?P<decimal> \d+ (?: \. \d* )? | \.\d+ | (?=\.\\overline) ) \.? (?: \\overline \{ (?P<repeating> \d+ ) \} )?
        (?: \s* (?: \\times | \\cdot | \* | x ) \s* 10 \s* \^ \s*
            (?: \{ \s* (?P<power> [-+]?\d+ ) \s* \} | (?P<digit> -?\d ) )
          | [eE] (?P<exponent> [-+]?\d+ ) )?
    )
    (?: _ (?: (?P<base> \d ) | \{ \s* (?P<long_base> \d+ ) \s* \} | \{?\\text\{\s*(?P<named_base>[a-z]+)\s*\}\}? ) )?
    (?! [\d.]*\d )
    """,
    re.VERBOSE,
)  # fmt: skip
_NAMED_BASES = {
    name: base
    for base, name in enumerate(
        ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"), start=2
    )
}


@dataclass(frozen=True, slots=True)
class Quantity:
    value: Fraction
    unit: tuple[str, ...] = ()
    base: int | None = None


def read_quantity(expression: str) -> Quantity | None:
    """What a text in its one spelling says, or None where it is more than one number and its unit."""
    match = _NUMBER.match(expression)
    if match is None:
        return None
    value = _value(match)
    rest = expression[match.end() :].strip()
    tail = read_unit(rest, bool(match["money"] or match["currency"]))
    if value is None or tail is None:
        return None
    base = _base(match)
    if base is not None and any(
        int(digit) >= base > 0 for digit in match["decimal"] or "" if digit.isdigit()
    ):
        return None  # no number has the digit 4 in base 3
    return Quantity(value * tail.scale, tail.unit, base)


def same_quantity(answer: Quantity, expected: Quantity) -> bool:
    if answer.base is not None and expected.base is not None and answer.base != expected.base:
        return False
    if ("%" in answer.unit) != ("%" in expected.unit):
        percent, other = (answer, expected) if "%" in answer.unit else (expected, answer)
        return not other.unit and other.value in (percent.value, percent.value / 100)
    if answer.unit and expected.unit and answer.unit != expected.unit:
        return False
    return answer.value == expected.value


def in_base_ten(quantity: Quantity) -> int | None:
    """What the digits of a whole number are worth in their base; None where there is no such number."""
    if quantity.base is None or not 2 <= quantity.base <= 36 or quantity.value.denominator != 1:
        return None
    return int(str(quantity.value.numerator), quantity.base)


def _base(match: re.Match[str]) -> int | None:
    """-1 for a base that none has: it differs from any other."""
    if match["named_base"]:
        return _NAMED_BASES.get(match["named_base"], -1)
    digits = match["base"] or match["long_base"]
    return int(digits) if digits else None


def _value(match: re.Match[str]) -> Fraction | None:
    above, below = match["above"] or match["top"], match["below"] or match["bottom"]
    if above is not None:
        whole = Fraction(match["mixed"] or match["whole"] or 0)
        denominator = Fraction(below)
        if denominator == 0 or ((match["mixed"] or match["whole"]) and (match["minus"] or denominator < 0)):
            return None
        magnitude = whole + Fraction(above) / denominator
    else:
        magnitude = _decimal(match)
        if magnitude is None:
            return None
    negative = ((match["sign"] or "").strip() == "-") != bool(match["minus"])
    return -magnitude if negative else magnitude


def _decimal(match: re.Match[str]) -> Fraction | None:
    written = match["decimal"] + ("." if match["repeating"] and "." not in match["decimal"] else "")
    whole, _, decimals = written.partition(".")
    number = Fraction(int(whole + decimals or "0"), 10 ** len(decimals))
    if match["repeating"]:
        period = len(match["repeating"])
        number += Fraction(int(match["repeating"]), (10**period - 1) * 10 ** len(decimals))
    power = match["power"] or match["digit"] or match["exponent"]
    if power is None:
        return number
    if len(power) > 5 or abs(int(power)) > _MAX_EXPONENT:
        return None
    return number * Fraction(10) ** int(power)
