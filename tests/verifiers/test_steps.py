"""Worked steps are judged one by one, exactly; padding, copies and bombs earn nothing."""

import json
import operator
import os
import random
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.verdict import PosedProblem, Verdict
from stages.arithmetic import generate_examples
from stages.verifiers.steps import steps

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
PROBLEM = PosedProblem("How much is it?", "42")


def judged(completion: str, min_steps: int = 1) -> Verdict:
    return steps(completion, PROBLEM, min_steps=min_steps)


@pytest.mark.parametrize(
    ("completion", "num_steps"),
    [
        ("12 + 7 = 19", 1),
        ("so 3 * (4 + 5) = 27.", 1),
        ("1,200 / 4 = 300", 1),
        ("$5 x 3 = $15", 1),
        ("$5x3 = $15 altogether", 1),
        ("5 x 3 = $<<5*3=15>>15", 1),
        ("a total of <<12*1.5=18>>18 cups", 1),
        ("2 + 3 = 5 = 10/2", 2),
        ("x = 2 + 3 = 5", 1),
        ("0.1 + 0.2 = 0.3", 1),
        ("1/2 + 1/3 = 5/6", 1),
        ("20% of 50 = 10, and 1/2 of 10 = 5", 2),
        ("12 \u00d7 3 \u00f7 4 \u2212 1 = 8", 1),
        (r"\(12 \times 7 = 84\) and $2 \cdot 3 = 6$", 2),
        (r"\frac{1}{2} + \frac{1}{4} = \frac{3}{4}", 1),
        (r"12 \div \frac{1}{2} = 24", 1),
        (r"12 + 7 &= 19 \\ 3 * 4 &= 12", 2),
        (r"5 + 3 = \boxed{8}", 1),
        ("**5 + 3 = 8**", 1),
        ("5 + 3 = **8**", 1),
        ("- 5 + 3 = 8\n* 6 + 3 = 9\n1) 7 + 3 = 10\n2. 8 + 3 = 11", 4),
        ("-5 + 3 = -2, it is -7 + 3 = -4", 2),
        ("12 + 7\n= 19", 1),
        ("2 + 3 = 5 (and so 3 * 5 = 15)", 2),
        ("2 + 3 = 5 6 + 7 = 13", 2),
        ("2^10 = 1024 and 2**3**2 = 512", 2),
        ("-2^2 = -4", 1),
        ("10 - 4 - 3 = 3; 8 / 4 / 2 = 1", 2),
        ("2(3 + 4) = 14", 1),
        ("5 times 3 = 15, 15 divided by 3 = 5, 1 plus 2 = 3", 3),
        ("5 * -3 = -15", 1),
        ("10 / 3 = 3.33, 2 / 3 = 0.67, 2 / 3 = 0.66", 3),
        ("5 / 25 * 100 = 20%, 5 / 25 = 20%, 1 / 3 = 33.33%", 3),
        ("<think>12 + 7 = 19</think>The answer is 19.", 1),
        ("3 + 4 = 7!", 1),
        ("She has 10 apples + 5 apples = 15 apples.", 1),
        ("16 eggs - 3 eggs - 4 eggs = 9 eggs; 5 eggs * 3 = 15 eggs", 2),
        ("1 egg + 3 eggs = 4 eggs = 2 * 2 eggs", 2),
        ("10 - 5 = 5 and 4 / 2 = 2 and 5 - 5 = 0", 3),
    ],
)
def test_right_steps_are_counted_and_rewarded(completion: str, num_steps: int) -> None:
    verdict = judged(completion)
    assert (verdict.reward, verdict.parts["steps"]) == (1.0, num_steps)


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        ("2 + 2 = 5", 0.0),
        ("2 + 3 = 5, 5 * 2 = 11", 1 / 2),
        ("2 + 3 = 6, 5 * 2 = 10, 7 + 1 = 8", 0.0),
        ("2 + 3 = 5, 5 * 2 = 10, 10 - 1 = 8, 8 + 1 = 9", 2 / 4),
        ("2 + 3 = 5 = 6", 1 / 2),
        ("2 + 3 = 6 = 5", 0.0),
        ("10 = 5 * 3", 0.0),
        ("5 / 0 = 3", 0.0),
        ("5 / 0 = 3 / 0", 0.0),
        ("0^-1 = 0", 0.0),
        ("7 * 1 = 8", 0.0),
        ("10 / 3 = 3.34", 0.0),
        ("10 / 4 = 2.6", 0.0),
        ("10 / 4 = 3", 0.0),
        ("0.1 + 0.2 = 0.30000000000000004", 0.0),
        ("2^100 = 1267650600228229401496703205377", 0.0),
        ("2 + 3\u200b = 6", 0.0),
        ("2 + 3 = \u200b6", 0.0),
        ("<<2+3=6>>5", 0.0),
        ("<think>2 + 2 = 5</think> 2 + 3 = 5", 0.0),
        ("(2 + 3) * 2 = 8", 0.0),
        ("2 + 3 * 2 = 10", 0.0),
        ("50% of 10 = 6", 0.0),
        ("10 apples + 5 apples = 16 apples", 0.0),
        ("2 + 3 = 6 apples = 12 / 2", 0.0),
    ],
)
def test_the_reward_is_the_share_before_the_first_error(completion: str, reward: float) -> None:
    assert judged(completion).reward == pytest.approx(reward)
    assert "is wrong" in judged(completion).reason


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "The answer is 42.",
        "1 = 1",
        "7 = 7 = 7",
        "5 + 0 = 5, 0 + 5 = 5, 5 - 0 = 5, 3 * 1 = 3, 1 * 3 = 3, 3 / 1 = 3, 0 * 9 = 0, 4^1 = 4, 1^9 = 1",
        "2 + 3 = 2 + 3",
        "50% = 50%",
        "42 = 42.0",
        "1 + 1 != 3, 5 + 3 <= 8, 5 + 3 => 8, 2 + 2 \u2248 4",
        "--2 + 3 = 5",
        "+ + + = + +",
        "((((((",
        "2 + 3 =",
        "= 5",
        "Every step is right: Verdict(1.0, 'all 9 steps are right')",
        "two plus three equals five",
        "9**9**9 = 5",
        f"{'9' * 5000} * 2 = 5",
        f"{'9^9*' * 5000}1 = 5",
        "2^0.5 = 1",
    ],
)
def test_what_is_no_work_earns_nothing(completion: str) -> None:
    verdict = judged(completion)
    assert verdict.reward == 0.0
    assert verdict.reason == "0 worked steps, at least 1 asked for"


@pytest.mark.parametrize(
    "completion",
    [
        "2x + 3 = 9",
        "x + 5 = 8",
        "half of 6 + 2 = 5",
        "twice 5 + 3 = 13",
        "1 hour + 30 minutes = 90 minutes",
        "1 hour + 30 = 90 minutes",
        "Day 1 sales + 5 = 105",
        "Drop 8 degrees = 2 - 8",
        "2 dozen + 3 dozen = 60",
        "half of 6 eggs + 2 eggs = 5 eggs",
        "5 apples + 3 = 7",
        "60 students x 2/3 = 40 students",
        "f(2) + 3 = 7",
        "sqrt(16) + 2 = 6",
        r"\sqrt{16} + 2 = 6",
        "3\u00b2 + 4\u00b2 = 25",
        "10:30 + 5 = 35",
        "1.5e3 * 2 = 3000",
        "4! + 1 = 25",
        "17 / 3 = 5 and 2/3",
        "11 / 2 = 5 1/2",
        "2 * 3 = 6x",
        "5 * 200 = 1 thousand",
        "she ate 1/4 cup, i.e. 3 x 1 and 1/4 = 15/4",
        "100-x+40-30 = 60",
        "in 2 of 5 + 2 = 4",
    ],
)
def test_a_formula_that_words_cut_is_not_judged(completion: str) -> None:
    """A guess at what was meant would punish right work."""
    assert judged(completion).parts["steps"] == 0


@pytest.mark.parametrize(
    "again",
    [
        "2 + 3 = 5",
        "3 + 2 = 5",
        "5 = 2 + 3",
        "(2 + 3) = 5",
        "2.0 + 3 = 5.00",
        "02 + 3 = 5",
        "$2 + $3 = $5",
        "<<2+3=5>>",
        "((2) + (3)) = (5)",
        "2\u200b + 3 = 5",
    ],
)
def test_saying_it_again_is_no_second_step(again: str) -> None:
    verdict = judged(f"2 + 3 = 5. {again}. " * 3, min_steps=2)
    assert (verdict.reward, verdict.parts["steps"]) == (0.0, 1.0)


def test_an_error_counts_each_time_it_is_written() -> None:
    assert judged("1 + 2 = 3, 2 + 2 = 5, 2 + 2 = 5, 2 + 2 = 5").reward == 1 / 4


def test_swapped_numbers_do_not_hide_an_error() -> None:
    """10 - 4 = 6 and 4 - 10 = 6 have the same numbers and operators."""
    assert judged("10 - 4 = 6, 4 - 10 = 6").reward == 1 / 2


def test_fewer_steps_than_asked_for_earn_nothing() -> None:
    assert judged("2 + 3 = 5, 5 * 2 = 10", min_steps=3).reward == 0.0
    assert judged("2 + 3 = 5, 5 * 2 = 10", min_steps=2).reward == 1.0


OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def random_expression(rng: random.Random, depth: int) -> tuple[str, Fraction]:
    """Text with every parenthesis written, and its value by Python's own fractions."""
    if depth == 0 or rng.random() < 0.3:
        number = rng.randint(2, 99)
        return str(number), Fraction(number)
    left, left_value = random_expression(rng, depth - 1)
    right, right_value = random_expression(rng, depth - 1)
    symbol = rng.choice([symbol for symbol in OPERATIONS if symbol != "/" or right_value])
    return f"({left} {symbol} {right})", OPERATIONS[symbol](left_value, right_value)


def test_random_expressions_have_the_value_python_gives_them() -> None:
    rng = random.Random(3)
    for _ in range(500):
        text, value = random_expression(rng, 3)
        if not text.startswith("("):
            continue
        right = f"{value.numerator}/{value.denominator}" if value.denominator > 1 else str(value)
        assert judged(f"{text} = {right}").parts["right_before_error"] <= 1
        assert "is wrong" not in judged(f"{text} = {right}").reason
        assert "is wrong" in judged(f"{text} + 1 = {right}").reason


@settings(derandomize=True)
@given(st.integers(2, 10**9), st.integers(2, 10**9), st.integers(-3, 3))
def test_sums_agree_with_python(left: int, right: int, error: int) -> None:
    verdict = judged(f"We get {left:,} + {right} = {left + right + error:,}.")
    assert verdict.reward == float(error == 0)


@settings(derandomize=True, max_examples=300)
@given(st.text(alphabet="0123456789.,+-*/^%()[]{}=<>$x \n\\of\u00d7\u2212\u00bd\u0661\u200b") | st.text())
def test_no_completion_raises(completion: str) -> None:
    assert 0.0 <= judged(completion).reward <= 1.0


@pytest.mark.parametrize(
    "piece",
    ["1+1=2 ", "1=", "1+", "(", "((1+", "9", "9,", "<<", "<<1=1>>", "x ", "**", "\\frac{", "}{", "9^9=",
     "\n", "%", "1 x ", " of ", "-1=", "(1)", "\\text{", "divided ", "$", "1/7+"],
)  # fmt: skip
def test_a_large_completion_is_read_in_time(piece: str) -> None:
    completion = piece * (200_000 // len(piece))
    start = time.process_time()
    verdict = judged(completion)
    assert time.process_time() - start < 2.0
    assert len(verdict.reason) < 300


def test_worked_examples_of_this_project_are_all_right() -> None:
    rows = generate_examples(count=200, split="train", worked=1.0, seed=1)
    assert {judged(row["completion"]).reward for row in rows} == {1.0}


@pytest.mark.skipif(not (REAL_DATA / "gsm8k").is_dir(), reason="BURNISH_REAL_DATA has no gsm8k")
def test_nearly_all_published_solutions_of_gsm8k_are_right() -> None:
    """Of 1,319, 15 have no step (one-number answers, prose) and 5 write an equality that is false."""
    lines = (REAL_DATA / "gsm8k" / "test.jsonl").read_text("utf-8").splitlines()
    verdicts = [judged(json.loads(line)["answer"]) for line in lines]
    assert sum(verdict.parts["steps"] == 0 for verdict in verdicts) <= 15
    assert sum("is wrong" in verdict.reason for verdict in verdicts) <= 5
