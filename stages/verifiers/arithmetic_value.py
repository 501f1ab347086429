r"""The exact value of plain arithmetic, such as (16 - 3 - 4) \times 2: + - * / and brackets, no algebra.

Brackets are worked off from the innermost, without recursion; no value outgrows the length of the text.
"""

import re
from fractions import Fraction

_MAX_CHARACTERS = 300
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|(\\times|\\cdot|\\div|[-+*/()]))\s*")
_SAME = {r"\times": "*", r"\cdot": "*", r"\div": "/"}
_MONEY = str.maketrans("", "", "$\u20ac\u00a3")


def arithmetic_value(expression: str) -> Fraction | None:
    """None for anything that is more, or is no sum at all. `expression` is in its one spelling."""
    tokens = _read_tokens(expression.translate(_MONEY).strip())
    if tokens is None:
        return None
    while ")" in tokens:
        end = tokens.index(")")
        starts = [position for position in range(end) if tokens[position] == "("]
        value = _value_without_brackets(tokens[starts[-1] + 1 : end]) if starts else None
        if value is None:
            return None
        tokens[starts[-1] : end + 1] = [value]
    return _value_without_brackets(tokens)


def _read_tokens(expression: str) -> list[Fraction | str] | None:
    tokens: list[Fraction | str] = []
    position = 0
    while position < len(expression) <= _MAX_CHARACTERS:
        token = _TOKEN.match(expression, position)
        if token is None:
            return None
        tokens.append(Fraction(token[1]) if token[1] else _SAME.get(token[2], token[2]))
        position = token.end()
    return tokens or None


def _value_without_brackets(tokens: list[Fraction | str]) -> Fraction | None:
    total = term = Fraction(0)
    operator = "+"  # empty after a number
    for position, item in enumerate(tokens):
        if isinstance(item, str):
            if operator and not (position == 0 and item == "-"):
                return None
            operator = item
            continue
        if not operator or (operator == "/" and item == 0) or operator == "(":
            return None
        if operator in "+-":
            total += term
            term = item if operator == "+" else -item
        else:
            term = term * item if operator == "*" else term / item
        operator = ""
    return None if operator else total + term
