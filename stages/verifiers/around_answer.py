r"""What the words and signs around an answer do to it: deny it, take it back, hedge it, calculate with it.

An answer stands only where it is the last word. A second thought behind it, such as "wait" or "correction",
leaves no single answer whatever it goes on to say; and 18 in -\boxed{18} or \boxed{18}^2 is a part of the answer.
"""

import re
from fractions import Fraction

from stages.verifiers.arithmetic_value import arithmetic_value, has_finite_decimal
from stages.verifiers.math_number import Quantity, read_quantity, same_quantity
from stages.verifiers.math_text import one_spelling

_AROUND = 60
_LINE = 400
_HEDGE = re.compile(
    r"\b(?:or|not|either|neither|nor|maybe|perhaps|possibly|probably|unless|except|cannot|wrong|incorrect|doubt|alternatively)\b"
    r"|\b(?:less|more|fewer|greater|larger|smaller)\s+than(?=[\s$\\*]*\d)"
    r"|n['\u2019]t\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<!\\)[.!?](?=[\s*_]|$)|\n")
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|never|nor|neither|rather\ than|instead\ of|either)|n['\u2019]t(?:\ be)?)"
    r"[\s$*(\[:\\]*(?:(?:be|equal|to|exactly|simply|just|the|answer|is|x|=)[\s$*(\[:\\]*){0,4}\Z",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"""
    [\s$*.,;:!?)\]}\\]* (?:
        (?: is | are | was | seems | looks | cannot | can't ) \s+ (?: be\s+ )? (?: definitely\s+ )?
            (?: not | wrong | incorrect | false ) \b
      | isn['\u2019]t \b | wait \b | hmm \b | no [,.:!] | scratch [ ] that
      | (?: alternatively | maybe | perhaps ) ,? \s+ (?: it | the [ ] answer | \$? -? \d )
        | (?: and/ )? or \s+ (?! [^.\n]{0,12} \\boxed ) (?: \$ | \\\( | -? \d | it \b | maybe | perhaps )
    )
  | [ \t$*.,;:!?)\]}\\]* (?: and/ )? or [ ] (?! equivalently | in\ words | [^.\n]{0,12} \\boxed )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LEAVES_OPEN = re.compile(
    r"(?:\bor(?:\ (?:maybe|perhaps|possibly|probably|even|is\ it|was\ it))?|\d[\u2013\u2014]|\bbetween\ \S{1,20}\ and"
    r"|(?:\A|\n)\W{0,5}\d[\d.,]{0,20}\ to"
    r"|(?:(?:\b(?:is|are|be)|['\u2019]s)\ (?:\w{1,20}\ )?|(?:\A|\n)\W{0,5})"
    r"(?:less|more|fewer|greater|larger|smaller)\ than)"
    r"[\s$*(\[:\\]*\Z",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[,;:]\s|\b(?:so|then|therefore|thus|but|because)\b(?<!anything but)", re.IGNORECASE)
_NEGATED = re.compile(
    r"\b(?:not|nor|never|cannot|unless|except|other\ than|anything\ but)\b|n['\u2019]t\b|\u2260|\\neq?\b",
    re.IGNORECASE,
)
_SECOND_THOUGHT = re.compile(
    r"""
    (?: (?<![^.!?;:,\n*_(\u2014-]) | (?<=[.!?;:,\n*_(\u2014-][ ]) | (?<=\n\n) | \b(?:and|but|oh|well)[ ] )
      (?: wait | hmm+ | oops | sorry | actually | scratch[ ]that | on[ ]second[ ]thought | hold[ ]on
        | corrections? [ ]*: | (?:no|nope) (?: [,.:!] | [ ](?:wait|it|that|the)\b ) ) \b
    | \bI [ ] (?: made | meant | misread | miscalculated | miscounted | was[ ]wrong | take[ ](?:that|it)[ ]back )\b
    | \b(?: correction[*_]{0,2}: | apolog\w+ | should[ ]have[ ]been\b )
    | \b(?: that | this | it | above | answer | result | value ) [ ](?:is|was)[ ]
        (?: wrong | incorrect | not[ ](?:right|correct) | a[ ]mistake | an[ ]error | false )\b
    | \b(?: correct | right | real | true | actual ) [ ] (?: value | number | result | total | one ) [ ]
        (?: is | should | would | must )\b
    | \bit [ ] (?: should | must | would | could ) [ ] (?: actually[ ] )? be \b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_DRESSING_BEFORE = re.compile(r"(?:\\?\$|\\[(\[,!;:]|\\left|\{|\*\*|\s)*\Z")
_BULLET = re.compile(r"\s*(?:[-+*>]|\d+[.)])\s+")
_TAG_OR_ARROW = re.compile(r"</?\w{1,20}>|[-=]{1,2}>")
_OPERATOR_BEFORE = re.compile(
    r"(?: [+/^_<>] | [\w)}$]\s*\* | \}\{ | \\(?:cdot|times|div|ne|neq|pm|mp|le|leq|ge|geq|lt|gt|sqrt) )\Z",
    re.VERBOSE,
)
_MINUS_BEFORE = re.compile(r"(?:[\d)}]|(?<![A-Za-z])[A-Za-z]|\$)\s+-\Z")
_OPERATOR_AFTER = re.compile(
    r"""
    \.?\d | \s* (?: \}*\{ | \^ (?! \s*\{?\s*\\circ ) | [-+/] \s*\$?[\d\\(] | \*\s*\d
      | \\(?:cdot|times|div|pm|mp|ne|neq|frac|sqrt)\b | ! \s* (?: \$ | \\[)\]] | [-+*/=] ) )
    """,
    re.VERBOSE,
)
_FORMULA_START = re.compile(r"\\\[|\\\(|(?<!\\)\$|;")
_CONTRAST = re.compile(
    r"(?<=[\w$)}])(?:,\s*|\s+\(|\s+)(?:not|rather\s+than|instead\s+of)\s+\\?\$?-?\d[\d.,]*\$?\)?\W*\Z",
    re.IGNORECASE,
)
_PURCHASE = re.compile(
    r"(?<=\d)(?=[*\s]{1,4}(?:(?:per|an?|each|every|daily|total|in|dollars|day|week|month|year|hour)\s){0,4}"
    r"(?:for|from|by)\s(?:[a-z']+\s){0,4}\d[\d,]*(?:\s(?!and\b|so\b|but\b|left\b|he\b|she\b|they\b|it\b)[a-z]+){1,4}"
    r"(?:\s(?:he|she|they|it)\s[a-z]+)?(?:\s(?:at|for)\s\\?\$?\d[\d.]*\s(?:each|apiece|(?:per|an?)\s[a-z]+))?\W*\Z)",
    re.IGNORECASE,
)
"""What was given for an amount of money."""
_ASIDE = re.compile(
    r"\s+(?:\([^()=]*(?<![\\A-Za-z])[A-Za-z]{3}[^()=]*\)|(?:because|since)\s[^=<>]{1,60}[<>][^=<>]{1,60})\W*\Z",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_MONEY_END = re.compile(r"[$\u20ac\u00a3]\s?\d[\d,]*(?:\.\d+)?\Z")
_DOLLAR_END = re.compile(r"\$(?!\d)")
_REMARK = re.compile(
    r",?\s+(?:which|because|since|obtained|where\s+we|as\s+(?:desired|required|expected|wanted|needed))\b"
    r"|\s+\((?=[^()]*(?:(?<![\\A-Za-z])[A-Za-z]{3}|\d\s*[-+*/\u00d7x]\s*\d)[^()]*\)\W*\Z)",
    re.IGNORECASE,
)


def is_denied(text: str, start: int, end: int) -> bool:
    """The words around an answer, at `start` to `end`, say that it is none, or that it is one of several."""
    before = _SENTENCE_END.split(text[max(0, start - _AROUND) : start])[-1]
    after = text[end : end + _AROUND]
    return bool(_DENIED_BEFORE.search(before) or _DENIED_AFTER.match(after))


def is_left_open(text: str, start: int) -> bool:
    """The number at `start` is the second of two, or a bound: 17 or 18, between 17 and 18, is less than 18."""
    return _LEAVES_OPEN.search(text[max(0, start - _AROUND) : start]) is not None


def is_negated(text: str, start: int) -> bool:
    """The clause that leads up to `start` is negative: "she does not make 18", but not "it is not 17, it is 18"."""
    before = _SENTENCE_END.split(text[max(0, start - _LINE) : start])[-1]
    return _NEGATED.search(_CLAUSE.split(before)[-1]) is not None


def is_taken_back(text: str, end: int) -> bool:
    """Anywhere behind the last answer, which ends at `end`."""
    return _SECOND_THOUGHT.search(text, end) is not None


def is_operand(text: str, start: int, end: int) -> bool:
    """The box at `start` to `end` is a part of a formula, or ends an equation that is false."""
    line = text[max(0, start - _LINE, text.rfind("\n", 0, start) + 1) : start]
    before = _DRESSING_BEFORE.sub("", _TAG_OR_ARROW.sub(" ", line))
    if _OPERATOR_AFTER.match(text, end):
        return True
    if before and not _BULLET.fullmatch(line):
        is_attached = before.endswith("-") and not line[len(line.rstrip("$\\({[!,")) - 1 :][:1].isspace()
        if _OPERATOR_BEFORE.search(before) or is_attached or _MINUS_BEFORE.search(before):
            return True
    box = text[text.find("{", start) + 1 : end - 1]
    left = _FORMULA_START.split(before.removesuffix("="))[-1].rpartition("=")[2]
    behind = text[end : end + _AROUND].partition("\n")[0].lstrip()
    right = _FORMULA_START.split(behind[1:])[0].partition("=")[0]
    return (before.endswith("=") and _differ(left, box)) or (behind.startswith("=") and _differ(box, right))


def _differ(left: str, right: str) -> bool:
    """Only where both are numbers or sums as a whole. An unending decimal may be rounded."""
    values = [_value(one_spelling(side)) for side in (left, right) if len(side) < _LINE]
    numbers = [value for value in values if value is not None]
    if len(numbers) < 2 or same_quantity(*numbers):
        return False
    place = Fraction(1, 10 ** len(right.strip().partition(".")[2]))
    is_rounded = not has_finite_decimal(numbers[0].value)
    return not (is_rounded and abs(numbers[0].value - numbers[1].value) < place)


def _value(side: str) -> Quantity | None:
    """Bare numbers only: units and bases convert."""
    value = arithmetic_value(side)
    quantity = read_quantity(side) if value is None else Quantity(value)
    return None if quantity is None or quantity.unit or quantity.base is not None else quantity


def is_hedged(answer: str, *, is_list: bool = False) -> bool:
    """Whether words leave open what the answer is; between the items of a list, "or" does not."""
    hedges = {word.lower() for word in _HEDGE.findall(answer)}
    return bool(hedges - {"or"} if is_list else hedges)


def without_contrast(sentence: str) -> str:
    """`18, not 17` says 18."""
    return _CONTRAST.sub("", sentence)


def without_explanation(sentence: str) -> str:
    """`She makes $18 for 9 eggs at $2 each` says $18, and so do `18 (9 pairs)` and `18 because 18 > 17`."""
    aside = _ASIDE.search(sentence)
    if aside and not is_hedged(aside[0]) and _DIGIT.search(sentence, 0, aside.start()):
        sentence = sentence[: aside.start()]
    bought = _PURCHASE.search(sentence)
    is_money = bought is not None and _MONEY_END.search(sentence, 0, bought.start())
    return sentence[: bought.start()] if bought and is_money else sentence


def without_remark(answer: str) -> str:
    """An answer in prose up to its reasons: 18 in `18, since 9 * 2 = 18`."""
    answer = without_contrast(answer)
    for remark in _REMARK.finditer(answer):
        is_inside_formula = answer.count("$", 0, remark.start()) % 2 == 1 and _DOLLAR_END.search(
            answer, remark.start()
        )
        if not is_inside_formula:
            return answer if is_hedged(answer[remark.start() :]) else answer[: remark.start()]
    return answer
