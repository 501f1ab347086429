r"""What may stand after a number: \text{ cm}^2, dollars, %, ^\circ, square feet per hour, or any plain noun.

A unit is a tuple of known names; words that are none, as in 14 right triangles, count as no unit. Words that
change the number (or, not, plus, at most, squared) make it no number at all.
"""

import re
from dataclasses import dataclass

_MAX_WORDS = 6
_TEXT = re.compile(r"\\text\s*\{([^{}\\$]*)\}")
_POWER = re.compile(r"\^\s*\{?([23])\}?")
_WORDS = re.compile(r"[a-z%\u20ac\u00a3][a-z'/\-]*[23]?(?:[ ][a-z][a-z'/\-]*[23]?)*")
_NAMES = {
    "mm": "millimeter millimeters millimetre millimetres",
    "cm": "centimeter centimeters centimetre centimetres",
    "m": "meter meters metre metres",
    "km": "kilometer kilometers kilometre kilometres kms",
    "inch": "in inches",
    "foot": "ft feet",
    "yard": "yd yds yards",
    "mile": "mi miles",
    "acre": "acres",
    "mg": "milligram milligrams",
    "g": "gm gms gram grams",
    "kg": "kgs kilogram kilograms",
    "ton": "tons tonne tonnes",
    "ounce": "oz ounces",
    "pound": "lb lbs pounds",
    "ml": "milliliter milliliters",
    "liter": "l liters litre litres",
    "gallon": "gal gallons",
    "pint": "pints",
    "quart": "quarts",
    "second": "s sec secs seconds",
    "minute": "min mins minutes",
    "hour": "h hr hrs hours",
    "day": "days",
    "week": "weeks",
    "month": "months",
    "year": "years yr yrs",
    "degree": "degrees deg",
    "radian": "radians rad",
    "%": "percent percentage pct",
    "$": "dollar dollars usd",
    "cent": "cents",
    "\u20ac": "euro euros eur",
    "\u00a3": "gbp",
    "am": "",
    "pm": "",
    "mph": "",
    "kmh": "kph",
    "hertz": "hz",
    "newton": "newtons",
    "joule": "joules",
    "watt": "watts",
}
_CANONICAL = {word: unit for unit, words in _NAMES.items() for word in (unit, *words.split())}
_AS_LETTERS = frozenset(
    ["mm", "cm", "km", "in", "ft", "yd", "mi", "mg", "gm", "kg", "oz", "lb", "ml", "hr", "am", "pm"]
)
"""Short names that no product of variables is written as."""
_COMPOUND = {"mile hour": "mph", "km hour": "kmh"}
_SCALES = {
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
}
_NO_UNITS = frozenset(
    [
        *(
            "or",
            "and",
            "not",
            "nor",
            "neither",
            "either",
            "but",
            "if",
            "maybe",
            "perhaps",
            "possibly",
            "wait",
            "no",
        ),
        *(
            "plus",
            "minus",
            "times",
            "over",
            "divided",
            "by",
            "mod",
            "modulo",
            "base",
            "factorial",
            "squared",
            "cubed",
        ),
        *(
            "to",
            "through",
            "until",
            "least",
            "most",
            "more",
            "less",
            "fewer",
            "than",
            "between",
            "versus",
            "vs",
        ),
        *(
            "sin",
            "cos",
            "tan",
            "log",
            "ln",
            "exp",
            "sqrt",
            "pi",
            "frac",
            "infinity",
            "half",
            "third",
            "quarter",
        ),
        *("negative", "point", "is", "are", "was", "equals", "unless", "except", "without"),
        *("tenths", "hundredths", "thousandths", "i", "e", "x", "y", "z", "n", "k", "t"),
    ]
)


@dataclass(frozen=True, slots=True)
class Tail:
    unit: tuple[str, ...]
    """Known names only, sorted; a square is cm2."""

    scale: int = 1


def read_unit(rest: str, is_money: bool) -> Tail | None:
    """None where `rest`, which follows a number, is more than a unit or a noun."""
    if not rest:
        return Tail(("$",) if is_money else ())
    if rest in ("%", r"^\circ", r"{}^\circ"):
        return None if is_money else Tail(("%" if rest == "%" else "degree",))
    words = _unit_words(rest)
    return _tail(words, is_money) if words else None


def _unit_words(rest: str) -> list[str]:
    """In lower case, a square as in cm2; empty where a word is no unit or noun."""
    plain = _POWER.sub(r"\1", _TEXT.sub(r" \1 ", rest)).replace(r"^\circ", " degree ")
    plain = " ".join(plain.lower().replace(".", "").replace(",", " ").split())
    plain = plain.replace(" 2", "2").replace(" 3", "3")
    plain = plain[1:-1] if plain.startswith("(") and plain.endswith(")") else plain
    if not _WORDS.fullmatch(plain):
        return []
    words = plain.replace("/", " per ").replace("-", " ").split()
    is_other = (
        len(words) > _MAX_WORDS
        or not _NO_UNITS.isdisjoint(words)
        or any(word[-1] in "23" and word[:-1] not in (*_CANONICAL, "unit", "units") for word in words)
        or (not rest.startswith("\\text") and any(_could_be_variables(word) for word in words))
    )
    return [] if is_other else words


def _could_be_variables(word: str) -> bool:
    return (
        len(word.rstrip("23")) < 3
        and word.rstrip("23") not in _AS_LETTERS
        and word not in ("a", "of", "per", "%")
    )


def _tail(words: list[str], is_money: bool) -> Tail:
    scale = 1
    known = {"$"} if is_money else set[str]()
    power = ""
    for word in words:
        scale *= _SCALES.get(word, 1)
        if word in ("square", "sq", "cubic"):
            power = "3" if word == "cubic" else "2"
            continue
        name = _CANONICAL.get(word.rstrip("23"))
        if name is not None:
            known.add(name + (power or word[len(word.rstrip("23")) :]))
        power = ""
    unit = " ".join(sorted(known, reverse=True))
    return Tail((_COMPOUND[unit],) if unit in _COMPOUND else tuple(sorted(known)), scale)
