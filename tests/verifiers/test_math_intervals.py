"""Inequalities and intervals are read as the same sets of numbers."""

import pytest

from tests.verifiers.math_rewards import reward


@pytest.mark.parametrize(
    ("answer", "ground_truth"),
    [
        ("x > 3", "(3, \\infty)"),
        ("3 < x", "(3,\\infty)"),
        ("x \\gt 3", "\\left(3, \\infty\\right)"),
        ("\\{x \\mid x > 3\\}", "(3, \\infty)"),
        ("\\{x \\in \\mathbb{R} : x \\leq 4\\}", "(-\\infty,4]"),
        ("-2 \\leqslant f(x) < 7", "[-2,7)"),
        ("7 \\ge x \\ge -2", "x \\in [-2,7]"),
        ("x \\le -2 \\text{ or } x \\ge 2", "(-\\infty, -2] \\cup [2, \\infty)"),
        ("2 \\le x or x < -3", "(-\\infty, -3) \\cup [2, \\infty)"),
        ("x \\neq 3", "(-\\infty,3) \\cup (3,\\infty)"),
        ("(3, \\infty)", "x > 3"),
    ],
)
def test_an_inequality_is_the_interval_that_it_describes(answer: str, ground_truth: str) -> None:
    assert reward(f"\\boxed{{{answer}}}", ground_truth) == 1.0


@pytest.mark.parametrize("signs", ["<<", "<=", "=<", "=="])
@pytest.mark.parametrize("brackets", ["()", "(]", "[)", "[]"])
@pytest.mark.parametrize(("low", "high"), [("1", "2"), ("1", "3"), ("0", "2")])
def test_an_interval_is_its_ends_and_whether_they_belong_to_it(
    signs: str, brackets: str, low: str, high: str
) -> None:
    first, second = (r"\le" if sign == "=" else "<" for sign in signs)
    is_same = (low, high, signs) == ("1", "2", brackets.translate(str.maketrans("()[]", "<<==")))
    interval = f"{brackets[0]}1,2{brackets[1]}"
    assert reward(f"\\boxed{{{low} {first} x {second} {high}}}", interval) == float(is_same)


@pytest.mark.parametrize(
    ("answer", "ground_truth"),
    [
        ("x > 3 \\text{ or } y < 4", "(-\\infty,4) \\cup (3,\\infty)"),
        ("x > 3 \\text{ or } x = 3", "(3, \\infty)"),
        ("2x > 3", "(3, \\infty)"),
        ("1 < x > 2", "(1,2)"),
        ("\\text{not } x > 3", "(3, \\infty)"),
    ],
)
def test_other_conditions_are_no_interval(answer: str, ground_truth: str) -> None:
    assert reward(f"\\boxed{{{answer}}}", ground_truth) != 1.0
