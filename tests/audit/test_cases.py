"""What an audit asks: forms that keep a value, near misses that never do, and nothing that is both."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.audit_cases import cases_of
from stages.audit_numbers import (
    exact_fraction,
    fraction_forms,
    near_fractions,
    near_numbers,
    number_forms,
    seldom_forms,
)
from stages.audit_programs import stubs
from stages.audit_subjects import Subject, surely_differ


def test_stubs_keep_the_names_and_lose_the_work() -> None:
    program = "import math\n\nclass Box:\n    def area(self, side):\n        return side ** 2\n\ndef one(): return 1"
    found = stubs(f"So:\n```python\n{program}\n```\nDone.", program)
    assert found is not None
    raising, empty = found.wrong.values()
    (argument,) = found.weak.values()
    assert argument == (
        "So:\n```python\nimport math\n\nclass Box:\n\n    def area(self, side):\n        return side\n\n"
        "def one():\n    return None\n```\nDone."
    )
    assert raising.count("raise NotImplementedError") == empty.count("return None") == 2
    for hostile in ("-" * 10**5 + "1", "(" * 10**5, "a" + ".b" * 10**4, "def f(:", "\0", "300", ""):
        assert stubs(hostile, hostile) is None


def test_forms_of_1200() -> None:
    assert number_forms("1,200") == {
        "plain": "1200",
        "with .0": "1200.0",
        "with .00": "1200.00",
        "with grouped thousands": "1,200",
        "with $": "$1200",
        "with a unit": "1200 dollars",
    }
    assert seldom_forms("1,200") == {"in fullwidth digits": "１２００", "with a plus sign": "+1200"}


def test_forms_of_minus_one_half() -> None:
    assert number_forms("-0.5") == {
        "plain": "-0.5",
        "with a trailing zero": "-0.50",
        "with a minus sign": "−0.5",
    }
    assert fraction_forms("-0.5") == {
        "as a/b": "-1/2",
        "as \\frac": "-\\frac{1}{2}",
        "as \\dfrac": "-\\dfrac{1}{2}",
        "as \\tfrac": "-\\tfrac{1}{2}",
        "as a decimal": "-0.5",
    }
    assert fraction_forms(r"\frac{1}{2}")["as one character"] == "½"
    assert "as a decimal" not in fraction_forms("1/3")


def test_near_misses_of_18() -> None:
    assert near_numbers("18") == {
        "one more": "19",
        "one less": "17",
        "with the other sign": "-18",
        "twice": "36",
        "half": "9",
        "ten times": "180",
        "a hundred times": "1800",
        "a hundredth": "0.18",
        "a thousand times": "18000",
        "a thousandth": "0.018",
        "sixty times": "1080",
        "a huge number": "987654321987654321",
        "with a digit in front": "118",
        "with a digit at the end": "181",
        "with wrong decimals": "18.01",
        "with wrong thousandths": "18.004",
        "without its last digit": "1",
        "with digits swapped": "81",
    }
    assert near_numbers("-2.5")["without its decimals"] == "-2"
    assert near_fractions("1/2") == {
        "upside down": r"\frac{2}{1}",
        "with another numerator": r"\frac{1}{1}",
        "with the other sign": r"-\frac{1}{2}",
    }


@pytest.mark.parametrize("text", ["", "x", "18 apples", "50%", "1e9", "1,20", "--1", "1/0", "１８", "9" * 40])
def test_what_is_no_plain_number_has_no_forms(text: str) -> None:
    assert number_forms(text) == near_numbers(text) == fraction_forms(text) == near_fractions(text) == {}


def _oracle(text: str) -> Fraction:
    """The value of a form, by Python's own reading."""
    if text in "½¼¾⅓⅔":
        return {"½": Fraction(1, 2), "¼": Fraction(1, 4), "¾": Fraction(3, 4), "⅓": Fraction(1, 3)}.get(
            text, Fraction(2, 3)
        )
    for written, meant in (("−", "-"), ("$", ""), (",", ""), (" dollars", ""), ("}{", "/"), ("}", "")):
        text = text.replace(written, meant)
    for command in (r"\frac{", r"\dfrac{", r"\tfrac{"):
        text = text.replace(command, "")
    return Fraction(text)


@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=40))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_forms_keep_the_value_and_near_misses_never_do(value: Fraction) -> None:
    decimal = f"{float(value):.3f}" if (1000 * value).denominator == 1 else ""
    for text in filter(None, (f"{value.numerator}/{value.denominator}", decimal)):
        assert exact_fraction(text) == value
        assert {_oracle(form) for form in (number_forms(text) | fraction_forms(text)).values()} <= {value}
        assert value not in {_oracle(near) for near in (near_numbers(text) | near_fractions(text)).values()}


@given(
    st.text(max_size=30), st.sampled_from(["number", "final_number", "math", "choice", "text", "solution"])
)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_no_completion_is_asked_to_be_right_and_wrong(truth: str, answers: Any) -> None:
    subject = Subject(answers, truth, {}, "What is it?", lambda text: f"\\boxed{{{text}}}", None)
    completions = [case.completion for case in cases_of(subject)]
    assert len(completions) == len(set(completions))
    assert any(case.is_right for case in cases_of(subject))


@pytest.mark.parametrize(
    ("answers", "one", "other", "differ"),
    [
        ("number", "18", "18.0", False),
        ("number", "18", "19", True),
        ("number", "Paris", "Paris, France", False),
        ("math", "x=5", "5", False),
        ("math", r"50\%", "0.5", False),
        ("math", r"\frac{1}{2}", "0.5", False),
        ("math", "1/2", "1/3", True),
        ("choice", "A", "(a)", False),
        ("choice", "A", "B", True),
        ("text", "cat", "dog", True),
    ],
)
def test_only_what_no_reading_equates_counts_as_another_answer(
    answers: Any, one: str, other: str, differ: bool
) -> None:
    first, second = (Subject(answers, truth, {}, "", str, None) for truth in (one, other))
    assert surely_differ(first, second) is differ
