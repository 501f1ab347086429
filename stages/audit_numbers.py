"""A number as people write it, and the numbers that are nearly it: what a verifier must accept, and must not.

Forms equal the number exactly. Near misses are what extractors get wrong: the sign, a digit too many or too
few, decimals that are cut off or not read, digits in another order, a percentage, another unit, tolerances.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

_PLAIN = re.compile(r"(-?)([$\u20ac\u00a3]?)((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,15})(?:\.[0-9]{1,12})?)")
_FRACTION = re.compile(r"(-?)(?:\\[dtc]?frac\{([0-9]{1,9})\}\{([0-9]{1,9})\}|([0-9]{1,9})/([0-9]{1,9}))")
_FULLWIDTH = str.maketrans("0123456789", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19")
_CHARACTERS = {
    Fraction(1, 2): "\u00bd",
    Fraction(1, 4): "\u00bc",
    Fraction(3, 4): "\u00be",
    Fraction(1, 3): "\u2153",
    Fraction(2, 3): "\u2154",
}
_MAX_DENOMINATOR = 1000
_HUGE = Decimal(987_654_321_987_654_321)


def number_value(text: str) -> Decimal | None:
    """The value of a plain number such as -1,200.50 or $18, or None."""
    match = _PLAIN.fullmatch(text.strip())
    return Decimal(match[1] + match[3].replace(",", "")) if match else None


def exact_fraction(text: str) -> Fraction | None:
    """The value of a plain number, of a/b or of \\frac{a}{b}, or None."""
    value = number_value(text)
    if value is not None:
        return Fraction(value)
    match = _FRACTION.fullmatch(text.strip())
    if match is None or not int(match[3] or match[5]):
        return None
    magnitude = Fraction(int(match[2] or match[4]), int(match[3] or match[5]))
    return -magnitude if match[1] else magnitude


def number_forms(text: str) -> dict[str, str]:
    """The same number by the name of its form; empty where `text` is no plain number."""
    value = number_value(text)
    if value is None:
        return {}
    plain = _plain(value)
    forms = {"plain": plain}
    if "." in plain:
        forms["with a trailing zero"] = f"{plain}0"
    else:
        forms |= {"with .0": f"{plain}.0", "with .00": f"{plain}.00"}
    if abs(value) >= 1000:
        forms["with grouped thousands"] = f"{value.normalize():,f}"
    if value < 0:
        forms["with a minus sign"] = f"\u2212{plain[1:]}"
    elif value > 0 and not re.search(r"[\u20ac\u00a3]", text):
        forms |= {"with $": f"${plain}", "with a unit": f"{plain} dollars"}
    return forms


def seldom_forms(text: str) -> dict[str, str]:
    """The same number as few people write it; empty where `text` is no plain number."""
    value = number_value(text)
    if value is None:
        return {}
    plain = _plain(value)
    forms = {"in fullwidth digits": plain.translate(_FULLWIDTH)} if "." not in plain else {}
    return forms | ({"with a plus sign": f"+{plain}"} if value > 0 else {})


def fraction_forms(text: str) -> dict[str, str]:
    """The same fraction, also as a decimal where that ends; empty where `text` is none."""
    value = exact_fraction(text)
    if value is None or value.denominator == 1 or value.denominator > _MAX_DENOMINATOR:
        return {}
    sign, (above, below) = "-" if value < 0 else "", abs(value).as_integer_ratio()
    forms = {"as a/b": f"{sign}{above}/{below}"}
    forms |= {f"as \\{name}": f"{sign}\\{name}{{{above}}}{{{below}}}" for name in ("frac", "dfrac", "tfrac")}
    if value in _CHARACTERS:
        forms["as one character"] = _CHARACTERS[value]
    if (10**12 * value).denominator == 1:
        forms["as a decimal"] = _plain(Decimal(value.numerator) / Decimal(value.denominator))
    return forms


def near_numbers(text: str) -> dict[str, str]:
    """Other numbers by the name of the mistake; empty where `text` is no plain number."""
    value = number_value(text)
    if value is None:
        return {}
    return {
        name: _plain(near)
        for name, near in _mistakes(value, _plain(abs(value)))
        if near is not None and near != value
    }


def neighbours(text: str, below: int, above: int) -> list[str]:
    """The number, so many before it and so many after it, each one apart; empty where `text` is no plain number."""
    value = number_value(text)
    return [] if value is None else [_plain(value + step) for step in range(-below, above + 1)]


def near_fractions(text: str) -> dict[str, str]:
    """Other fractions; empty where `text` is no fraction, or an integer."""
    value = exact_fraction(text)
    if value is None or value.denominator == 1:
        return {}
    nearly = {
        "upside down": 1 / value,
        "with another numerator": value + Fraction(1, value.denominator),
        "with the other sign": -value,
    }
    return {
        name: f"{'-' * (near < 0)}\\frac{{{abs(near.numerator)}}}{{{near.denominator}}}"
        for name, near in nearly.items()
        if near != value
    }


def _mistakes(value: Decimal, digits: str) -> Iterator[tuple[str, Decimal | None]]:
    sign = Decimal(-1 if value < 0 else 1)
    whole, _, decimals = digits.partition(".")
    rest = f".{decimals}" if decimals else ""
    yield "one more", value + 1
    yield "one less", value - 1
    yield "with the other sign", -value
    yield "twice", value * 2
    yield "half", value / 2
    yield "ten times", value * 10
    yield "a hundred times", value * 100
    yield "a hundredth", value / 100
    yield "a thousand times", value * 1000
    yield "a thousandth", value / 1000
    yield "sixty times", value * 60
    yield "a huge number", sign * _HUGE
    yield "with a digit in front", sign * Decimal(f"1{digits}")
    yield "with a digit at the end", sign * Decimal(f"{digits}1")
    yield "with wrong decimals", value + sign * Decimal("0.01")
    yield "with wrong thousandths", value + sign * Decimal("0.004")
    yield "without its last digit", sign * Decimal(whole[:-1] + rest) if len(whole) > 1 else None
    yield "without its decimals", sign * Decimal(whole) if decimals else None
    yield "with digits swapped", sign * Decimal(_swapped(whole) + rest)


def _swapped(whole: str) -> str:
    """The last two neighbours that differ change places."""
    for position in range(len(whole) - 1, 0, -1):
        if whole[position] != whole[position - 1]:
            return whole[: position - 1] + whole[position] + whole[position - 1] + whole[position + 1 :]
    return whole


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
