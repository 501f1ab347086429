"""The exact value of an arithmetic expression given as tokens, within bounds that no number bomb passes.

Dijkstra's shunting-yard algorithm: two stacks, no recursion, each token handled once. Numbers are integers and
fractions, never floats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Number = int | Fraction
Token = str
"""A number such as 1200 or .5, or one of + - * / ^ % ( ) and |, which is the bar of a \\frac."""

_MAX_BITS = 512
_MAX_DIGITS = 60
_NEGATION = "negation"
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, _NEGATION: 3, "|": 4, "^": 5}


@dataclass(frozen=True, slots=True)
class Value:
    number: Number | None
    """None where a division by zero leaves it undefined."""

    is_computed: bool
    """There is an operation."""

    is_work: bool
    """There is an operation that does something, unlike + 0 or * 1."""


class _UnreadableError(Exception):
    """No expression, or one beyond the bounds."""


class _Stacks:
    def __init__(self) -> None:
        self.numbers: list[Number | None] = []
        self.operators: list[str] = []
        self.is_computed = False
        self.is_work = False

    def reduce(self, precedence: int) -> None:
        """Apply the waiting operators that bind at least as strongly."""
        while self.operators and _PRECEDENCE.get(self.operators[-1], 0) >= precedence:
            self._apply(self.operators.pop())

    def _apply(self, symbol: str) -> None:
        right = self.numbers.pop()
        if symbol == _NEGATION:
            self.numbers.append(None if right is None else -right)
            return
        left = self.numbers.pop()
        number = None if left is None or right is None else _combined(symbol, left, right)
        is_idle = number == left or (symbol in "+*" and number == right)
        self.is_computed = True
        self.is_work |= not is_idle
        self.numbers.append(number)


def value_of(tokens: Sequence[Token]) -> Value | None:
    """None for what is no expression, or one whose numbers need more than 512 bits."""
    stacks = _Stacks()
    try:
        _read(tokens, stacks)
    except _UnreadableError:
        return None
    return Value(stacks.numbers[0], stacks.is_computed, stacks.is_work)


def literal(token: Token) -> Number:
    """The value of a number token of bounded length."""
    return Fraction(token) if "." in token else int(token)


def _read(tokens: Sequence[Token], stacks: _Stacks) -> None:
    wants_operand = True
    for token in tokens:
        wants_operand = (_take_operand if wants_operand else _take_operator)(token, stacks)
    if wants_operand:
        raise _UnreadableError
    stacks.reduce(1)
    if stacks.operators:
        raise _UnreadableError


def _take_operand(symbol: Token, stacks: _Stacks) -> bool:
    """Whether an operand is still wanted."""
    if symbol == "(":
        stacks.operators.append(symbol)
        return True
    if symbol in ("-", "+"):
        if stacks.operators[-1:] == [_NEGATION]:
            raise _UnreadableError  # two signs in a row
        stacks.operators.extend([_NEGATION] if symbol == "-" else [])
        return True
    if symbol[-1].isdigit() and len(symbol) <= _MAX_DIGITS:
        stacks.numbers.append(literal(symbol))
        return False
    raise _UnreadableError


def _take_operator(symbol: Token, stacks: _Stacks) -> bool:
    if symbol == "%":
        number = stacks.numbers.pop()
        stacks.numbers.append(None if number is None else Fraction(number) / 100)
        return False
    if symbol == ")":
        stacks.reduce(1)
        if not stacks.operators:
            raise _UnreadableError
        stacks.operators.pop()
        return False
    if symbol not in _PRECEDENCE:
        raise _UnreadableError
    stacks.reduce(_PRECEDENCE[symbol] + (symbol == "^"))  # powers from the right: 2^3^2 = 2^9
    stacks.operators.append(symbol)
    return True


def _combined(symbol: str, left: Number, right: Number) -> Number | None:
    if symbol in ("/", "|"):
        number = _quotient(left, right)
    elif symbol == "^":
        number = _power(left, right)
    else:
        number = left * right if symbol == "*" else left + right if symbol == "+" else left - right
    if number is not None and _bits(number) > _MAX_BITS:
        raise _UnreadableError
    return number


def _quotient(left: Number, right: Number) -> Number | None:
    if right == 0:
        return None
    quotient = Fraction(left) / right
    return quotient.numerator if quotient.denominator == 1 else quotient


def _power(base: Number, exponent: Number) -> Number | None:
    """Whole exponents only; the size of the result is known before it is computed."""
    if Fraction(exponent).denominator != 1:
        raise _UnreadableError
    if base == 0 and exponent < 0:
        return None
    if abs(exponent) > _MAX_BITS or _bits(base) * abs(exponent) > 2 * _MAX_BITS:
        raise _UnreadableError
    return Fraction(base) ** int(exponent)


def _bits(number: Number) -> int:
    return max(number.numerator.bit_length(), number.denominator.bit_length())
