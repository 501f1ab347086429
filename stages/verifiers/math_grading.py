"""The second tier of `math`, in a worker process: are two expressions equal by algebra, as math-verify sees it?

Only LaTeX is parsed, by latex2sympy's grammar: math-verify's plain-text extraction goes through SymPy's
`parse_expr`, which evaluates Python. The parser itself hands SymPy nothing but digits.

math-verify rounds, so that 0.333333 equals 1/3 to it and all tiny numbers are one. Here decimals are read as the
fractions they are, and two numbers must agree to 25 digits. What it reads in ways that no person would (numbers
side by side, digits in an unlike base) is refused before.
"""

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

from latex2sympy2_extended.latex2sympy2 import normalize_latex
from math_verify import LatexExtractionConfig, verify
from math_verify.parser import parse_latex_cached
from sympy import Basic, Expr, Float, N, nan, oo, simplify, zoo

from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.math_answer import judge
from stages.verifiers.math_form import is_number, unfinished
from stages.verifiers.math_structure import Algebra
from stages.verifiers.math_text import one_spelling

_NORMALIZATION = replace(LatexExtractionConfig().normalization_config, boxed="none", units=True)
_DECIMAL = re.compile(r"(?<![\d.])(\d*)\.(\d+)(?![\d.])")
_SIDE_BY_SIDE = re.compile(r"\d[ ~]+\d|\d\s*'|[\d)}]\.\d+\.|\d\s*_\s*\{?\d")
_UNREADABLE = re.compile(rf"{_SIDE_BY_SIDE.pattern}|\\\\text\b")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)\b")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?|\\frac\{\d+\}\{\d+\})\s*\^\s*\{?\\circ\}?")
_DIGITS = 25
_FORMULA = re.compile(r"\$\$?([^$]+)\$|\\\[(.+?)\\\]|\\\((.+?)\\\)", re.DOTALL)
_MAX_PROMPT = 4_000
_MIN_FORMULA, _MAX_FORMULA, _MAX_FORMULAS = 3, 150, 6


def grade_math(completion: str, problem: PosedProblem) -> Verdict:
    """Raises GroundTruthError where the first tier does."""

    def equal(answer: str, expected: str) -> bool:
        if not equal_by_algebra(answer, expected):
            return False
        return is_number(expected) or not _is_given(answer, expected, problem.prompt)

    verdict = judge(completion, problem, Algebra(equal, _may_equal))
    return verdict or Verdict(0.0, "undecided")


def equal_by_algebra(answer: str, expected: str) -> bool:
    """What cannot be read is equal to nothing."""
    try:
        return _equal(answer, expected)
    except Exception:  # noqa: BLE001 (SymPy and ANTLR raise anything on model text)
        return False


def _equal(answer: str, expected: str) -> bool:
    if _SIDE_BY_SIDE.search(answer):
        return False
    truth, found = _read(expected), _read(answer)
    if not verify(truth, found, timeout_seconds=None, raise_on_error=True):
        return False
    return _agree_in_all_digits(truth, found)


def _may_equal(work: str, expected: str) -> bool:
    """Numbers that are read must agree; what cannot be read is no evidence."""
    try:
        found, truth = _read(work), _read(expected)
    except Exception:  # noqa: BLE001 (SymPy and ANTLR raise anything on model text)
        return True
    is_readable = isinstance(found, Basic) and isinstance(truth, Basic) and not _UNREADABLE.search(work)
    return not is_readable or equal_by_algebra(work, expected)


def _is_given(answer: str, expected: str, prompt: str) -> bool:
    """Where the problem is to change the form of an expression, that of the prompt is not the answer's, whatever
    the order, brackets and ones in it: SymPy's constructors drop those."""
    found, truth, given = _built(answer), _built(expected), _given(prompt)
    if any(found == form != truth for form in map(_built, given)):
        return True
    return bool(unfinished(answer, expected)) and any(equal_by_algebra(form, expected) for form in given)


def _built(latex: str) -> Any:
    try:
        return _read(latex).doit()
    except Exception:  # noqa: BLE001 (SymPy and ANTLR raise anything)
        return None


@lru_cache(maxsize=64)
def _given(prompt: str) -> list[str]:
    """The first formulas of the prompt, each side of an equation by itself."""
    formulas = (a or b or c for a, b, c in _FORMULA.findall(prompt[:_MAX_PROMPT]))
    sides = [side.strip(" .,") for formula in formulas for side in formula.split("=")]
    return [one_spelling(side) for side in sides if _MIN_FORMULA <= len(side) <= _MAX_FORMULA][:_MAX_FORMULAS]


@lru_cache(maxsize=1024)
def _read(latex: str) -> Any:
    """Degrees matter to sines; beside other numbers the sign is a unit, which normalization drops."""
    exact = _DECIMAL.sub(_as_fraction, latex)
    if _TRIGONOMETRY.search(exact):
        exact = _DEGREES.sub(r"(\1 \\cdot \\frac{\\pi}{180})", exact)
    return parse_latex_cached(normalize_latex(exact, config=_NORMALIZATION))


def _as_fraction(decimal: re.Match[str]) -> str:
    return rf"\frac{{{int(decimal[1] + decimal[2])}}}{{{10 ** len(decimal[2])}}}"


def _agree_in_all_digits(truth: Any, found: Any) -> bool:
    if not all(isinstance(side, Expr) and side.is_number for side in (truth, found)):
        return True
    if truth in (oo, -oo, zoo, nan):
        return bool(truth == found)
    difference = simplify(found - truth)
    return bool(
        difference == 0 or abs(N(difference, _DIGITS)) < abs(N(truth, _DIGITS)) * Float(10) ** (2 - _DIGITS)
    )
