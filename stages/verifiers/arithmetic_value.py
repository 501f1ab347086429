r"""The exact value of plain arithmetic in LaTeX or prose, such as (16 - 3 - 4) \times 2: + - * / and brackets."""

import re
from fractions import Fraction

from stages.verifiers.shunting_yard import value_of

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
