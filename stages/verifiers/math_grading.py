"""The worker's side of `math_expression`: does math-verify call an answer equal to the ground truth?

Only LaTeX is parsed, by latex2sympy's grammar: math-verify's plain-text extraction goes through SymPy's
`parse_expr`, which evaluates Python. The parser itself hands SymPy nothing but digits.
"""

import re
from dataclasses import replace
from typing import Any

from latex2sympy2_extended import is_expr_of_only_symbols
from latex2sympy2_extended.latex2sympy2 import normalize_latex
from math_verify import LatexExtractionConfig, verify
from math_verify.parser import parse_latex_cached
from sympy import Expr, Float, N, simplify
from sympy.core.function import AppliedUndef

from data_contracts.verdict import Verdict
from stages.verifiers.reading import shortened
from stages.verifiers.worker import serve

_NORMALIZATION = replace(LatexExtractionConfig().normalization_config, boxed="none")
_EQUALS = re.compile(r"(?<![<>!:=])=(?!=)")
_TINY = 1e-4


def grade(answer: str, ground_truth: str) -> Verdict:
    try:
        return _grade(answer, ground_truth)
    except MemoryError:
        return Verdict(0.0, "needed more memory than a verifier may use")
    except Exception as error:  # noqa: BLE001 (SymPy and ANTLR raise anything on model text)
        return Verdict(0.0, f"math-verify cannot read {shortened(answer)}: {type(error).__name__}")


def _grade(answer: str, ground_truth: str) -> Verdict:
    """In a chain such as `y = 2 + 5 = 7` every side but a name must equal the ground truth.

    math-verify takes the last side alone, so that 7 = 2 would be a way to answer 2.
    """
    expected = _read(ground_truth)
    sides = [answer] if "=" in ground_truth else _EQUALS.split(answer)
    for position, side in enumerate(sides):
        found = _read(side)
        is_definition = position < len(sides) - 1 and _is_name(found)
        if not is_definition and not _equal(expected, found):
            return Verdict(0.0, f"answered {shortened(answer)}, expected {shortened(ground_truth)}")
    return Verdict(1.0, "equal according to math-verify")


def _read(latex: str) -> Any:
    return parse_latex_cached(normalize_latex(latex, config=_NORMALIZATION))


def _is_name(found: Any) -> bool:
    """x, AB, \\text{area}, f(2)."""
    return isinstance(found, AppliedUndef) or is_expr_of_only_symbols(found)


def _equal(expected: Any, found: Any) -> bool:
    return verify(expected, found, timeout_seconds=None, raise_on_error=True) and _same_size(expected, found)


def _same_size(expected: Any, found: Any) -> bool:
    """math-verify rounds differences, so that all tiny numbers are equal to it: 1/2004! and 1/2006!."""
    if not all(isinstance(side, Expr) and side.is_number for side in (expected, found)):
        return True
    if abs(N(expected)) > _TINY:
        return True
    if expected == 0:
        return bool(simplify(found) == 0)
    tolerance = 1e-3 if expected.has(Float) or found.has(Float) else 1e-12
    return bool(abs(N(found / expected) - 1) < tolerance)


if __name__ == "__main__":
    serve(grade)
