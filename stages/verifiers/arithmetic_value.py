r"""The exact value of plain arithmetic, such as (16 - 3 - 4) \times 2, without algebra: + - * / and brackets.

Dijkstra's two stacks, so that no depth of brackets is too deep; numbers cannot grow beyond the length of the text.
"""

import re
from fractions import Fraction

_MAX_CHARACTERS = 300
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|(\\times|\\cdot|\\div|[-+*/()]))\s*")
_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2, "negate": 3}
_SAME = {r"\times": "*", r"\cdot": "*", r"\div": "/"}
_MONEY = str.maketrans("", "", "$\u20ac\u00a3")


def arithmetic_value(expression: str) -> Fraction | None:
    """None for anything that is more, or is no sum at all. `expression` is in its one spelling."""
    expression = expression.translate(_MONEY).strip()
    if len(expression) > _MAX_CHARACTERS:
        return None
    values: list[Fraction] = []
    operators: list[str] = []
    position = 0
    expects_value = True
    while position < len(expression):
        token = _TOKEN.match(expression, position)
        if token is None:
            return None
        position = token.end()
        symbol = _SAME.get(token[2], token[2])
        if token[1] is not None or symbol == "(":
            if not expects_value:
                return None
            if token[1] is not None:
                values.append(Fraction(token[1]))
                expects_value = False
            else:
                operators.append("(")
        elif symbol == ")":
            if expects_value or not _apply_until_bracket(values, operators):
                return None
        elif expects_value:
            if symbol != "-":
                return None
            operators.append("negate")
        else:
            if not _apply(values, operators, _BINDS[symbol]):
                return None
            operators.append(symbol)
            expects_value = True
    if expects_value or "(" in operators or not _apply(values, operators, 0):
        return None
    return values[0]


def _apply_until_bracket(values: list[Fraction], operators: list[str]) -> bool:
    if "(" not in operators or not _apply(values, operators, 0):
        return False
    operators.pop()
    return True


def _apply(values: list[Fraction], operators: list[str], at_least: int) -> bool:
    """Work off what binds as tightly; False for a division by zero."""
    while operators and operators[-1] != "(" and _BINDS[operators[-1]] >= at_least:
        operator = operators.pop()
        right = values.pop()
        if operator == "negate":
            values.append(-right)
            continue
        left = values.pop()
        if operator == "/" and right == 0:
            return False
        values.append(
            left + right if operator == "+" else left - right if operator == "-"
            else left * right if operator == "*" else left / right
        )  # fmt: skip
    return True
