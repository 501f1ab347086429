"""The arithmetic equalities in a text, found in one pass: `2 + 3 = 5`, `$5 x 3 = $15`, `<<5*3=15>>`, a = b = c.

A side counts only when it is certainly all of what was written. Where a word, units or a variable cut a formula
(`1 hour + 30 minutes = 90 minutes`, `half of 6 + 2 = 5`, `2x + 3 = 9`), the cut side is unreadable: prose is not
arithmetic, and a wrong guess would punish right work. One unit from first to last, as in `5 eggs + 3 eggs = 8 eggs`,
cuts nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stages.verifiers.shunting_yard import Token

_TOKEN = re.compile(
    r"""
    (?P<mark><<[^<>\n]*+>>)                             # GSM8K's calculator
    | (?P<space>[ \t\xa0&\u200b-\u200f\u2060\ufeff]++
        | \\[,;!:] | \\(?:left|right|boxed|[dt]?frac)(?![a-zA-Z])
        | \\?[$\u20ac\u00a3]
        | (?<![\d)\s])\*\*++ | (?<=[\d)])\*\*++(?![\d(.\-]) | \*\*++(?=[^\s*]) (?<![\d)]\*\*)
      )
    | (?P<line>\n|\\\\)
    | (?P<number>(?:[0-9]{1,3}(?:(?:,|\{,\})[0-9]{3})++(?![0-9])|[0-9]++)(?:\.[0-9]++)?|\.[0-9]++)
    | (?P<equals>(?<![<>!:=~])==?(?![=<>~]))
    | (?P<power>\^|\*\*)
    | (?P<times>[*\u00d7\u00b7\u2219\u22c5]|\\(?:times|cdot|ast)(?![a-zA-Z])|[xX](?=[ ]?[0-9(.$\u20ac\u00a3])
        |(?:times|multiplied[ ]by)\b)
    | (?P<over>[/\u00f7\u2215]|\\div(?![a-zA-Z])|divided[ ]by\b)
    | (?P<plus>\+|plus\b)
    | (?P<minus>[-\u2212\u2013]|minus\b)
    | (?P<percent>\\?%|percent\b)
    | (?P<bar>\}[ ]?\{)
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<word>\\(?:text|mathrm|mbox)\{[^{}\n]*+\} | \\?[^\W\d_][\w']*+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SYMBOLS = {"power": "^", "times": "*", "over": "/", "plus": "+", "minus": "-", "percent": "%", "open": "("}
_OPERATORS = frozenset("+-*/^|")
_BEFORE_PART = frozenset(["of", "by", "from", "than", "half", "twice", "double", "triple"])
"""After such a word, what follows is an operand of something that stands in words."""

_SCALES = frozenset(["dozen", "hundred", "thousand", "million", "billion", "trillion"])
_CUTTING = frozenset("\u00b2\u00b3\u00b9\u2070\u2074\u2075\u2076\u00b1\u221a\u00bc\u00bd\u00be_")

_DENOMINATOR = re.compile(r"/[0-9]")
_FRACTION = re.compile(r" ?\(?\$?[0-9]{1,9}/[0-9]")

_GOES_ON = re.compile(r"[ ]?([-+*/=\u00d7\u00f7\u2212])(?![-=>])")

Side = tuple[Token, ...] | None
"""One side of an equality; None where it is unreadable."""


def equalities(text: str) -> Iterator[list[Side]]:
    """Each chain `a = b = c` as its sides, in the order in which they end. Two sides at least."""
    chain = _Chain()
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind == "space":
            continue
        if kind == "mark":
            yield from equalities(text[match.start() + 2 : match.end() - 2])
            continue
        if kind == "line":
            chain.line_ended = True
            continue
        if chain.line_ended and kind != "equals":
            yield from chain.ended(before="line")
        chain.line_ended = False
        yield from _take(chain, kind, match)
    yield from chain.ended(before="line")


@dataclass(slots=True)
class _Chain:
    """What has been read since the last cut."""

    sides: list[Side] = field(default_factory=list[Side])
    tokens: list[Token] = field(default_factory=list[Token])
    open_at: list[int] = field(default_factory=list[int])
    """Where in `tokens` the open parentheses are."""

    before: str = "line"
    """What the side follows: a line's beginning, an equals sign, a word or a gap."""

    unit: str = ""
    """A word behind an operand of the first side; the chain is none unless it ends with that word."""

    is_cut: bool = False
    line_ended: bool = False

    def add(self, symbol: Token) -> None:
        if symbol == "(":
            self.open_at.append(len(self.tokens))
        self.tokens.append(symbol)

    def close_side(self, tokens: Sequence[Token]) -> None:
        self.sides.append(None if self.is_cut or not tokens else tuple(tokens))
        self.tokens, self.open_at, self.is_cut = [], [], False

    def ended(self, before: str, unit: str = "") -> Iterator[list[Side]]:
        """The chain, if it is one. A parenthesis still open has begun a remark: `= 8 (eight apples)`."""
        if self.sides and self.unit in ("", unit):
            self.close_side(self.tokens[: self.open_at[0]] if self.open_at else self.tokens)
            yield self.sides
        self.sides, self.tokens, self.open_at = [], [], []
        self.before, self.unit, self.is_cut = before, "", False


def _take(chain: _Chain, kind: str, match: re.Match[str]) -> Iterator[list[Side]]:
    if kind == "times" and match[0] in "xX" and not _ends_operand(chain):
        kind = "word"
    if kind == "word":
        yield from _take_word(chain, match)
    elif kind == "other":
        chain.is_cut |= match[0] in _CUTTING
        yield from chain.ended(before="gap")
        chain.is_cut = match[0] in _CUTTING
    elif kind == "equals":
        yield from _take_equals(chain)
    elif kind in ("close", "bar"):
        if not chain.open_at:
            yield from chain.ended(before="gap")
            return
        chain.open_at.pop()
        chain.add(")")
        if kind == "bar":
            chain.add("|")
            chain.add("(")
    elif kind == "number":
        yield from _take_number(chain, match)
    else:
        _take_symbol(chain, _SYMBOLS[kind], match)


def _take_equals(chain: _Chain) -> Iterator[list[Side]]:
    """A parenthesis still open begins a formula of its own: `2 + 3 = 5 (and so 3 * 5 = 15)`."""
    side = chain.tokens
    if chain.open_at:
        side = chain.tokens[chain.open_at[-1] + 1 :]
        yield from chain.ended(before="gap")
    chain.close_side(side)
    chain.before = "equals"


def _take_number(chain: _Chain, match: re.Match[str]) -> Iterator[list[Side]]:
    """A number right after an operand begins the next formula, or is half of a mixed one such as 2 1/2."""
    if (
        _ends_operand(chain)
        and chain.sides
        and not chain.open_at
        and not _DENOMINATOR.match(match.string, match.end())
    ):
        yield from chain.ended(before="gap")
    chain.is_cut |= not chain.tokens and _is_inside_number(match)
    chain.add(match[0].replace("{,}", "").replace(",", ""))


def _take_word(chain: _Chain, match: re.Match[str]) -> Iterator[list[Side]]:
    word = match[0].lower()
    is_share = chain.tokens[-1:] in (["%"], [")"]) or chain.tokens[-2:-1] in (["/"], ["|"])
    if word == "of" and is_share and not chain.sides:
        chain.add("*")
        return
    unit = word.removesuffix("s") if _ends_operand(chain) and word not in _SCALES | _BEFORE_PART else ""
    goes_on = _GOES_ON.match(match.string, match.end())
    if unit and goes_on and (unit == chain.unit or _may_begin_unit(chain, before=goes_on[1])):
        chain.unit = unit
        return
    is_attached = bool(chain.tokens) and match.string[match.start() - 1] in "0123456789)"
    is_mixed_number = (
        word == "and" and _ends_operand(chain) and bool(_FRACTION.match(match.string, match.end()))
    )
    chain.is_cut |= is_attached or is_mixed_number or word in _SCALES or word == "of"
    yield from chain.ended(before="word", unit=unit)
    is_function = match.string[match.end() : match.end() + 1] in ("(", "{", "[", "^")
    chain.is_cut = is_function or is_mixed_number or word in _BEFORE_PART or match.lastgroup == "times"


def _may_begin_unit(chain: _Chain, before: str) -> bool:
    """Only in a first side with an operation, before or behind the word: `Drop 8 degrees = 2 - 8` is prose."""
    return not (chain.unit or chain.sides) and (before != "=" or not _OPERATORS.isdisjoint(chain.tokens))


def _take_symbol(chain: _Chain, symbol: Token, match: re.Match[str]) -> None:
    """An operator that begins a side is a sign, the bullet of a list, or the rest of a formula that was cut.

    2(3 + 4) multiplies.
    """
    if symbol == "(" and _ends_operand(chain) and match.string[match.start() - 1] in "0123456789)":
        chain.add("*")
    if chain.tokens or symbol == "(":
        chain.add(symbol)
        return
    is_spaced = match.string[match.end() : match.end() + 1].isspace()
    if chain.before == "line" and is_spaced and symbol in "+-*":
        return
    is_apart = match.start() == 0 or not match.string[match.start() - 1].isalnum()
    is_sign = symbol in "+-" and (chain.before == "equals" or (symbol == "-" and is_apart and not is_spaced))
    chain.is_cut |= not is_sign
    chain.add(symbol)


def _ends_operand(chain: _Chain) -> bool:
    return bool(chain.tokens) and chain.tokens[-1] not in _OPERATORS and chain.tokens[-1] != "("


def _is_inside_number(match: re.Match[str]) -> bool:
    """The 30 of 10:30, the 3 of 1.2.3."""
    before = match.string[max(0, match.start() - 2) : match.start()]
    return len(before) == 2 and before[0].isdigit() and before[1] in ":.,/"
