"""How verifiers read a completion: what follows the thinking, and numbers without rounding.

Digits of any script count (fullwidth, Arabic-Indic): they mean the same number. Superscripts and signs
such as one half are no decimal digits and are never read as such. Every pattern is linear in its input.
"""

import re
from collections import deque
from decimal import Decimal, InvalidOperation

_NUMBER = re.compile(
    r"""
    (?P<sign>(?<![\w)\]}])[-+\u2212])?
    [$\u20ac\u00a3]?
    (?P<whole>
        \d{1,3} (?: (?: , | ,\\! | \{,\} | \\, ) \d{3} )+ (?!\d)  # 1,200 and as LaTeX writes it
        | \d+
        | (?=\.\d)
    )
    (?P<decimals>\.\d+)?
    (?P<exponent>[eE][-+]?\d+)?
    """,
    re.VERBOSE,
)
_OPERATOR_BEFORE = re.compile(r"(?:\d[:.]|(?:\d|(?<![A-Za-z])[A-Za-z])\s?[-+\u2212*/\u00d7\u00f7^]\s?)\Z")
_VARIABLE_BEHIND = re.compile(r"(?<=\d)[xyzni](?![A-Za-z])")
_READABLE = 80
_NOT_A_DIGIT = re.compile(r"\D+")


def after_thinking(completion: str) -> str:
    """What the policy says once it has thought. A thought that never ends hides the rest."""
    return completion.rpartition("</think>")[2].partition("<think>")[0]


def last_number(text: str) -> str | None:
    """The last number as written, or None. One inside an expression, as in 12/3 or 18x, keeps what makes it one."""
    matches = deque(_NUMBER.finditer(text), maxlen=1)
    if not matches:
        return None
    start, end = matches[0].span()
    operator = _OPERATOR_BEFORE.search(text, max(0, start - 4), start)
    variable = _VARIABLE_BEHIND.match(text, end)
    end = variable.end() if variable else end
    return text[operator.start() if operator else start : end]


def first_number(text: str, start: int) -> tuple[str, int] | None:
    """The number that begins at `start`, but for spaces, and where it does."""
    match = _NUMBER.search(text, start)
    return None if match is None or text[start : match.start()].strip() else (match[0], match.start())


def exact_value(text: str) -> Decimal | None:
    """The number that `text` is, or None when it is anything else. 1e999999999 costs nothing."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    sign = "-" if match["sign"] in ("-", "\u2212") else ""
    whole = _NOT_A_DIGIT.sub("", match["whole"]) or "0"
    try:
        return Decimal(f"{sign}{whole}{match['decimals'] or ''}{match['exponent'] or ''}")
    except InvalidOperation:  # an exponent beyond 18 digits
        return None


def shortened(text: str) -> str:
    """For reasons and messages, which people read."""
    return text if len(text) <= _READABLE else f"{text[:_READABLE]}... ({len(text):,} characters)"
