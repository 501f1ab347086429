r"""Whether two expressions are equal as far as reading tells: numbers, words, lists, tuples, chains of equations.

The answer is three-valued: None where it takes algebra and nobody was given to do it. A number must be worked
out: 9 + 9 is not yet 18, though `9 + 9 = 18` is. In a chain every side but a name must equal the ground truth.
"""

import re
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from stages.verifiers.arithmetic_value import arithmetic_value
from stages.verifiers.around_answer import is_hedged
from stages.verifiers.math_number import Quantity, in_base_ten, read_quantity, same_quantity
from stages.verifiers.math_structure import (
    Algebra,
    Structure,
    all_equal,
    is_interval,
    read_inequality,
    read_structure,
    same_structure,
)
from stages.verifiers.units import read_unit

_MAX_DEPTH = 4
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])|(?<=\d) (?=[a-zA-Z])")
_EQUALS = re.compile(r"(?<![<>!:=])=(?!=)(?![^()\[\]]*\))")
_NAME = re.compile(
    r"\\?[A-Za-z]+(?:_\{?\w+\}?)?(?:\([a-z0-9,]+\))?'?|\\text\{[A-Za-z ]+\}|(?:[A-Z][a-z]+|[a-z]+)(?: [a-z]+){0,5}"
)
_CONSTANTS = frozenset((r"\pi", "e", "i", r"\infty"))
_ARGUMENT = re.compile(
    r"(?<=[A-Za-z}])\s*(?:\([^()]*\)|\[[^\[\]]*\])|[_^]\s*(?:\{[^{}]*\}|\w|\\[A-Za-z]+)|\\text\{[A-Za-z ]*\}(?=.)"
)
"""Arguments, indices and exponents."""
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[A-Za-z]")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_GREEK = frozenset(
    [
        *(r"\alpha", r"\beta", r"\gamma", r"\delta", r"\theta", r"\phi", r"\lambda"),
        *(r"\mu", r"\sigma", r"\omega", r"\angle", r"\text"),
    ]
)
_NAMES_IN_BRACKETS = re.compile(r"\A\([A-Za-z\\ ]+(?:,[A-Za-z\\ ]+)+\) *= *(?=\()")
_DECIMALS = re.compile(r"\.(\d{1,40})")
_MEMBER = re.compile(r"\\?[A-Za-z]+ *\\in\b *")
_TRAILING_UNIT = re.compile(r"\\text\s*\{[^{}]*\}(?:\^\{?[23]\}?)?\Z")
_UPRIGHT = re.compile(r"\\text\s*\{([^{}]*)\}")
_NO_NUMBER = re.compile(r"[A-Za-z ,.;:!?'\"()]*")
_ENCLOSED = re.compile(r"[({]([^(){},]*)[)}]")
_IN_WORDS = re.compile(r"[0-9:]*[A-Za-z][A-Za-z0-9:]*")
_NOT_IN_WORDS = re.compile(r"[\s.'\"()]+")
_ARTICLE = re.compile(r"\A\s*(?:an?|the)\s+(?=[a-z]{3})", re.IGNORECASE)
_CLOCK = re.compile(r"(?P<time>\d{1,2}:[0-5]\d)(?:\s*(?P<half>[ap])\.?\s?m\.?)?", re.IGNORECASE)
_SAYING = re.compile(
    r"\A\\text\s*\{(?![^{}]*\b(?:if|not|unless|whether|when)\b)[^{}]*\b(?:is|are|equals)\s*:?\s*\}\s*(?=[^{}])"
)
_MODULUS = re.compile(
    r"(?P<congruent>\A[a-zA-Z]\s*\\equiv)?(?P<residue>[^=]*?)\s*(?:\\pmod\s*\{?\d+\}?"
    r"|\\text\s*\{\s*\(?mod (\d+)\)?\s*\}|\(\\b?mod\s*\d+\))"
)
_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        [
            "zero",
            *("one", "two", "three", "four", "five", "six"),
            *("seven", "eight", "nine", "ten", "eleven", "twelve"),
        ]
    )
}


def same(answer: str, expected: str, algebra: Algebra, depth: int = 0) -> bool | None:
    """Whether two expressions in their one spelling are equal. Algebra is the last to be asked."""
    if _is_misrounded(answer):
        return False
    answer, expected = _definite(answer), _definite(expected)
    if _in_print(answer) == _in_print(expected):
        return True
    structure, parts = _structures(expected, answer)
    if is_hedged(answer, is_list=structure is not None) and not is_hedged(expected):
        return False
    if structure is not None and parts is not None and depth < _MAX_DEPTH:
        verdict = same_structure(parts, structure, lambda a, e: same(a, e, algebra, depth + 1))
    elif "=" in answer or "=" in expected:
        return _same_sides(_EQUALS.split(answer), _EQUALS.split(expected), algebra, depth)
    else:
        verdict = _same_value(answer, expected)
    if verdict is not None:
        return verdict
    is_number_beside_parts = (structure or parts) and (_quantity(answer) or _quantity(expected))
    is_undecided = not is_number_beside_parts or "set" in _kinds(structure, parts)
    return _beside_units(answer, expected, algebra) if is_undecided else False


def _same_value(answer: str, expected: str) -> bool | None:
    """Of two numbers, or two words; None where one is something else. A sum is no number until worked out."""
    quantity, answered = _quantity(expected), _quantity(answer)
    if quantity is not None and answered is not None:
        return same_quantity(answered, quantity)
    if quantity is not None and (_NO_NUMBER.fullmatch(answer) or arithmetic_value(answer) is not None):
        return False
    times = [_CLOCK.fullmatch(_UPRIGHT.sub(r" \1", side).strip()) for side in (answer, expected)]
    if times[0] and times[1] and (times[0]["half"] or times[1]["half"]):  # with neither it may be a ratio
        halves = {time["half"].lower() for time in times if time and time["half"]}
        return times[0]["time"] == times[1]["time"] and len(halves) == 1
    words = _words(expected)
    return words == _words(answer) if words else None


def _same_sides(answer: list[str], expected: list[str], algebra: Algebra, depth: int) -> bool | None:
    """Chains and definitions: x = 5 is 5, and of 7 = 2 each side counts."""
    if depth >= _MAX_DEPTH:
        return _beside_units("=".join(answer), "=".join(expected), algebra)
    if len(expected) == 1:
        *work, last = (side.strip() for side in answer)
        if _is_name(last) and not _is_name(work[0]) and not _is_name(expected[0]):
            *work, last = last, *reversed(work)
        verdicts = [_may_equal(side, expected[0], algebra) for side in work if not _is_name(side)]
        return all_equal([*verdicts, same(last, expected[0], algebra, depth + 1)])
    name, value = expected[0].strip(), expected[-1].strip()
    if all(_quantity(side.strip()) for side in expected):  # 0.56 = 56\%
        return same("=".join(answer), name, algebra, depth + 1) or same(
            "=".join(answer), value, algebra, depth + 1
        )
    if len(expected) == 2 and _NAME.fullmatch(name):
        if len(answer) == 1:
            return same(answer[0].strip(), value, algebra, depth + 1)
        if len(answer) == 2 and _NAME.fullmatch(answer[0].strip()):
            same_name = _in_print(answer[0].strip()) == _in_print(name)
            return same_name and same(answer[1].strip(), value, algebra, depth + 1)
    return _beside_units("=".join(answer), "=".join(expected), algebra)


def _may_equal(side: str, expected: str, algebra: Algebra) -> bool | None:
    """On the way to an answer, sums are welcome, and so is what nobody can read."""
    value, quantity = arithmetic_value(side), _quantity(side)
    wanted = _quantity(expected)
    if quantity and wanted and quantity.base and wanted.base and quantity.base != wanted.base:
        return in_base_ten(quantity) == in_base_ten(wanted)
    if value is not None or quantity is not None:
        written = str(value) if quantity is None else side
        return same(written, expected, algebra, _MAX_DEPTH)
    return algebra.may_equal(side, expected)


def _is_name(side: str) -> bool:
    """What an answer may be called: x, the sum, P(X = 2), a + b, but not 3x, which is still to be solved."""
    if _NAME.fullmatch(side):
        return side not in _CONSTANTS
    bare = _ARGUMENT.sub(" ", _ARGUMENT.sub(" ", side))
    return _DIGIT.search(bare) is None and _LETTER.search(_COMMAND.sub(_letter, side)) is not None


def _letter(command: re.Match[str]) -> str:
    return "x" if command[0] in _GREEK else " "


def _beside_units(answer: str, expected: str, algebra: Algebra) -> bool | None:
    """Units stay out of algebra; other words in an answer make it more than an expression."""
    (bare, unit), (expected_bare, expected_unit) = _without_unit(answer), _without_unit(expected)
    if unit and expected_unit and unit != expected_unit:
        return False
    if _UPRIGHT.search(bare) and not _UPRIGHT.search(expected_bare):
        return False
    return True if _in_print(bare) == _in_print(expected_bare) else algebra.equal(bare, expected_bare)


def _without_unit(expression: str) -> tuple[str, tuple[str, ...]]:
    unit = _TRAILING_UNIT.search(expression)
    tail = read_unit(unit[0].strip(), is_money=False) if unit and unit.start() else None
    if unit is None or tail is None or tail.scale != 1:
        return expression, ()
    return expression[: unit.start()].strip(), tail.unit


def _definite(expression: str) -> str:
    """Without `x \\in` and `(x, y) =`, and without the rounded value that follows an exact one."""
    exact, approximately, rounded = expression.partition(r"\approx")
    if approximately:
        exact = exact.strip()
        expression = rounded.strip() if not exact or _is_name(exact) else exact
    if r"mod" in expression and (modulus := _MODULUS.fullmatch(expression)):
        expression = modulus["residue"].strip()
    expression = _SAYING.sub("", expression, count=1)
    return _NAMES_IN_BRACKETS.sub("", _MEMBER.sub("", expression, count=1), count=1)


def _is_misrounded(expression: str) -> bool:
    """18 is not about 17. A rounded number is off by at most one in its last place."""
    if r"\approx" not in expression:
        return False
    sides = [side.strip() for side in expression.split(r"\approx")]
    numbers = [(quantity, side) for side in sides if side and (quantity := _quantity(side))]
    for (exact, _), (rounded, written) in pairwise(numbers):
        decimals = _DECIMALS.search(written)
        place = Fraction(1, 10 ** len(decimals[1]) if decimals else 1)
        is_percent = "%" in rounded.unit and "%" not in exact.unit
        if abs(exact.value * (100 if is_percent else 1) - rounded.value) >= place:
            return True
    return False


@lru_cache(maxsize=4096)
def _quantity(expression: str) -> Quantity | None:
    enclosed = _UPRIGHT.fullmatch(expression) or _ENCLOSED.fullmatch(expression)
    plain = enclosed[1].strip() if enclosed else expression
    return read_quantity(_NUMBER_WORDS.get(plain.lower(), plain))


@lru_cache(maxsize=4096)
def _structure(expression: str) -> Structure | None:
    upright = _UPRIGHT.fullmatch(expression)
    return read_structure(upright[1].strip() if upright else expression)


def _structures(expected: str, answer: str) -> tuple[Structure | None, Structure | None]:
    """x > 3 is (3, \\infty) where the other of the two is written so."""
    structure, parts = _structure(expected), _structure(answer)
    if is_interval(structure) and not is_interval(parts):
        parts = read_inequality(answer) or parts
    elif is_interval(parts) and not is_interval(structure):
        structure = read_inequality(expected) or structure
    return structure, parts


def _kinds(*structures: Structure | None) -> set[str]:
    return {structure.kind for structure in structures if structure}


def _words(expression: str) -> str:
    """Names, days, letters of a choice: in lower case when they are words; empty for anything else."""
    plain = _ARTICLE.sub("", _UPRIGHT.sub(r"\1", expression))
    bare = _NOT_IN_WORDS.sub("", plain)
    if not _IN_WORDS.fullmatch(bare) or not (len(bare) > 2 or plain != expression or bare.isupper()):
        return ""
    return bare.lower() if len(bare) > 2 else bare


def _in_print(expression: str) -> str:
    """One form for texts that a reader could not tell apart."""
    return _LOOSE_SPACE.sub("", expression)
