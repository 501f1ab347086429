"""Algebra decides what reading does not, on LaTeX alone, and rounds nothing."""

import re
import sys

import pytest

from data_contracts.verdict import PosedProblem
from stages.verifiers.math_answer import math
from stages.verifiers.math_grading import equal_by_algebra, grade_math


def reward(answer: str, ground_truth: str, prompt: str = "What is it?") -> float:
    return grade_math(f"\\boxed{{{answer}}}", PosedProblem(prompt, ground_truth)).reward


@pytest.mark.parametrize(
    ("answer", "ground_truth"),
    [
        ("(x+1)^2", "x^2 + 2x + 1"),
        ("f(x) = 2x + 1", "1 + 2x"),
        ("2x+3", "y=2x+3"),
        ("x+1=y", "y=x+1"),
        ("2y=2x+2", "y=x+1"),
        ("x^2+2x+1=0", "(x+1)^2=0"),
        ("\\frac{x+1}{2}", "\\frac{1}{2}x+\\frac12"),
        ("\\frac{1}{2004!}", "\\frac{1}{2003! \\cdot 2004}"),
        ("\\sqrt{8}", "2\\sqrt2"),
        ("e^{-1}", "\\frac{1}{e}"),
        ("3x^{-2}", "\\frac{3}{x^2}"),
        ("0.001", "10^{-3}"),
        ("f^{-1}(x) = \\frac{x+1}{x-2}", "\\frac{x+1}{x-2}"),
        ("\\frac{3}{2} + \\frac{\\sqrt{5}}{2}", "\\frac{3+\\sqrt5}{2}"),
        ("\\frac{1}{2}(3+\\sqrt{5})", "\\frac{3+\\sqrt5}{2}"),
        ("2^{3/2}", "2\\sqrt2"),
        ("\\frac12 \\ln 4", "\\ln 2"),
        ("\\log_8 4 = \\frac{2}{3}", "\\frac23"),
        ("\\binom{5}{2} = 10", "10"),
        ("i\\sqrt{3}", "\\sqrt{3}i"),
        ("(2,\\sqrt{8})", "(2, 2\\sqrt2)"),
        ("(0, 2\\pi/4]", "(0,\\frac{\\pi}{2}]"),
        ("2, \\sqrt{8}", "2\\sqrt{2}, 2"),
        (
            "\\begin{pmatrix} \\sqrt{8} \\\\ 1 \\end{pmatrix}",
            "\\begin{bmatrix} 2\\sqrt{2} \\\\ 1 \\end{bmatrix}",
        ),
        ("\\mathbb{R}\\setminus\\{0\\}", "(-\\infty,0)\\cup(0,\\infty)"),
        ("\\sin 32^\\circ", "\\cos 58^{\\circ}"),
        ("\\sqrt{52}\\text{ ft}", "2\\sqrt{13}\\text{ feet}"),
        ("\\sqrt{52}", "2\\sqrt{13}\\text{ feet}"),
        ("1 \\pm \\sqrt{8}", "1+2\\sqrt{2}, 1-2\\sqrt2"),
        ("0.5x", "\\frac{x}{2}"),
        ("3^2 + 9 = 18", "18"),
    ],
)
def test_equal_mathematics_is_right(answer: str, ground_truth: str) -> None:
    assert reward(answer, ground_truth) == 1.0


@pytest.mark.parametrize(
    ("answer", "ground_truth"),
    [
        ("\\sqrt{4}=7", "7"),
        ("3x=6", "6"),
        ("2^4=17", "17"),
        ("\\frac{1}{2004!}", "\\frac{1}{2006!}"),
        ("\\frac{1}{2004!}", "0"),
        ("3.14159265358979", "\\pi"),
        ("1.41421356237309504880", "\\sqrt{2}"),
        ("1.414213562373095048801688724209698", "\\sqrt{2}"),
        ("\\pi + 10^{-20}", "\\pi"),
        ("0.333333333x", "\\frac{x}{3}"),
        ("x < 3", "x \\le 3"),
        ("x > 3", "x < 3"),
        ("(-\\infty, 3]", "(-\\infty,3)"),
        ("2x+4", "y=2x+3"),
        ("\\infty", "10"),
        ("\\frac{5}{0}", "1"),
        ("\\frac{0}{0}", "0"),
        ("\\infty-\\infty", "0"),
        ("y", "x"),
        ("\u0445", "x"),
        ("\\{18, 19\\}", "18"),
        ("18 \\\\ 19", "19"),
        ("18 \\quad 19", "18"),
        ("1 2", "2"),
        ("18|19", "18"),
        ("18 \\lor 19", "18"),
        ("18 \\to 20", "20"),
        ("18 \\Rightarrow 20", "20"),
        ("\\geq 18", "18"),
        ("x>18", "18"),
        ("18 \\neq 19", "19"),
        ("19 \\boxed{18}", "18"),
        ("18 \\boxed{19}", "18"),
        ("\\{x : x = 18\\}", "18"),
        ("1{,}8", "18"),
        ("1.200.300", "1200300"),
        ("1\u03018", "18"),
        ("\\sqrt{2} \\text{ or so}", "\\sqrt{2}"),
        ("\\sqrt{2} \\text{ blah } \\sqrt{3}", "\\sqrt{2}"),
        ("12\\sqrt{13}\\text{ inches}", "12\\sqrt{13}\\text{ feet}"),
        ("x_1", "x_2"),
        ("\\text{anything}", "x"),
        ("\\mathbb{R}", "18"),
        ("42_{3}", "42"),
        ("30'", "30^\\circ"),
    ],
)
def test_what_math_verify_might_call_equal_is_wrong(answer: str, ground_truth: str) -> None:
    assert reward(answer, ground_truth) == 0.0


@pytest.mark.parametrize(
    ("answer", "ground_truth"),
    [("18", "18"), ("17", "18"), ("\\text{C}", "\\text{(C)}"), ("5, 6", "6,5"), ("", "1")],
)
def test_where_reading_decides_both_tiers_agree(answer: str, ground_truth: str) -> None:
    quick = math(f"\\boxed{{{answer}}}", PosedProblem("", ground_truth))
    assert quick is not None
    assert quick.reward == reward(answer, ground_truth)


@pytest.mark.parametrize(
    "answer", ["\\frac{", "\\\\\\", "{{{{", "^", "\\int", "_" * 50, "(" * 400, "\\left(", "\u0000", "\\"]
)
def test_what_cannot_be_read_is_equal_to_nothing(answer: str) -> None:
    assert equal_by_algebra(answer, "x") is False


def test_no_model_text_is_ever_compiled() -> None:
    compiled: list[str] = []

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        is_import = event == "compile" and str(arguments[1]).endswith(".py")
        if event == "compile" and listening and not is_import:
            compiled.append(str(arguments[0]))

    listening = True
    sys.addaudithook(listen)
    for text in [
        "__import__('os').getpid()",
        r"\text{__import__('os').getpid()}",
        "x_{__import__('os').getpid()}",
        r"f(__import__('os').getpid())",
        r"\operatorname{exec}(12+x)",
        r"\frac{__import__('os')}{12}",
        "12",
    ]:
        equal_by_algebra(text, "3 + x")
    listening = False
    from_text = [source for source in compiled if source != "b'from sympy import *'"]
    assert any("12" in source for source in from_text), "SymPy evaluates number literals: we do listen"
    literal = re.compile(r"""b?["']*(Integer|Float) \(["'\d. ]+\)["']*""")
    assert [source for source in from_text if not literal.fullmatch(source)] == []


@pytest.mark.parametrize(
    ("answer", "ground_truth"),
    [
        ("2^{10}", "1024"),
        ("\\binom{5}{2}", "10"),
        ("17+26^{1}", "43"),
        ("\\frac{17+26}{1}", "43"),
        ("{17}+{26}", "43"),
        ("|17+26|", "43"),
        ("\\lfloor 17+26 \\rfloor", "43"),
        ("\\gcd(9118,12173,33182)", "47"),
        ("7^{100} \\mod 13", "9"),
        ("\\cos(60^\\circ)", "\\frac12"),
        ("\\log_{2}{32}", "5"),
        ("\\int_0^1 t^2 dt", "\\frac13"),
        ("\\sum_{k=1}^{3} k", "6"),
        ("\\sqrt{51-1}", "5\\sqrt{2}"),
        ("\\sqrt{16}", "4"),
        ("\\sqrt{5}+\\sqrt{5}", "2\\sqrt{5}"),
        ("129!/128!", "129"),
        ("\\frac{12}{1/12}", "144"),
        ("(1+2i)6-3i", "6+9i"),
    ],
)
def test_a_number_that_is_not_worked_out_is_no_answer(answer: str, ground_truth: str) -> None:
    assert reward(answer, ground_truth) == 0.0


@pytest.mark.parametrize(
    ("prompt", "answer", "ground_truth"),
    [
        ("Expand $(x+1)^3$.", "(1+x)^3", "x^3+3x^2+3x+1"),
        ("Expand $(x+1)^3$.", "(x+1)(x+1)^2", "x^3+3x^2+3x+1"),
        ("Factor $x^2-5x+6$.", "6-5x+x^2", "(x-2)(x-3)"),
        ("Factor $x^2-5x+6$.", "x(x-5)+6", "(x-2)(x-3)"),
        ("Factor $x^2-5x+6$.", "x^2-2x-3x+6", "(x-2)(x-3)"),
        ("Factor $x^2-5x+6$.", "\\frac{x^2-5x+6}{1}", "(x-2)(x-3)"),
        ("Factor $x^2-5x+6$.", "(x^2-5x+6)^{1}", "(x-2)(x-3)"),
        ("Simplify $\\sqrt{50}$.", "1\\cdot\\sqrt{50}", "5\\sqrt{2}"),
        ("Simplify $\\sqrt{50}$.", "50^{1/2}", "5\\sqrt{2}"),
        ("Simplify $\\sqrt{50}$.", "\\frac{2(\\sqrt{50})}{2}", "5\\sqrt{2}"),
    ],
)
def test_the_problem_in_another_order_or_in_brackets_is_no_answer(
    prompt: str, answer: str, ground_truth: str
) -> None:
    assert reward(answer, ground_truth, prompt) == 0.0


@pytest.mark.parametrize(
    ("prompt", "answer", "ground_truth"),
    [
        ("Expand $(x+1)^3$.", "1+3x+3x^2+x^3", "x^3+3x^2+3x+1"),
        ("Factor $x^2-5x+6$.", "(x-3)(x-2)", "(x-2)(x-3)"),
        ("Which polynomial has the roots $2$ and $3$?", "x^2-5x+6", "(x-2)(x-3)"),
    ],
)
def test_equal_forms_are_right_where_the_form_is_not_the_problem(
    prompt: str, answer: str, ground_truth: str
) -> None:
    assert reward(answer, ground_truth, prompt) == 1.0
