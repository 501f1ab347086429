"""The last number decides, exactly."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.exact_number import EXACT_NUMBER
from stages.verifiers.exact_number import exact_number as verifier

MEGABYTE = 1_000_000


def exact_number(completion: str, ground_truth: str) -> Verdict:
    return verifier(completion, PosedProblem("How many?", ground_truth))


@pytest.mark.parametrize(
    ("completion", "ground_truth"),
    [
        ("First 3, then 18.", "18"),
        ("She earns $1,200.00 a month", "1200"),
        ("1{,}200", "1,200"),
        (r"\boxed{1,\!200}", "1200"),
        ("a list: 1,2,3", "3"),
        ("a loss of -$5", "-5"),
        ("\u22125 degrees", "-5"),
        ("2+3=5", "5"),
        ("it is .5", "0.50"),
        ("1.5e3", "1500"),
        ("0.1", "0.1000"),
        ("<think>7</think>18", "18"),
        ("\uff11\uff18", "18"),
        ("\u0661\u0668", "18"),
        ("5 m\u00b2", "5"),
        ("18 apples, i.e. three halves of a dozen", "18"),
    ],
)
def test_the_last_number_is_right(completion: str, ground_truth: str) -> None:
    assert exact_number(completion, ground_truth).reward == 1.0


@pytest.mark.parametrize(
    ("completion", "ground_truth", "reason"),
    [
        ("18, or was it 17", "18", "answered 17, expected 18"),
        ("0.1000000000000000055511151231257827", "0.1", "answered 0.1000000000000000055511151231257827"),
        ("9007199254740993", "9007199254740992", "answered 9007199254740993"),
        ("<think>18</think> I do not know", "18", "no number"),
        ("<think>so far it is 18", "18", "no number"),
        ("ends in 12/3", "3", "an expression"),
        ("20 - 5", "5", "an expression"),
        ("2^10", "10", "an expression"),
        ("18x", "18", "an expression"),
        ("a-18", "18", "an expression"),
        ("at 10:30", "30", "an expression"),
        ("1e999999999", "1", "answered 1e999999999"),
        ("1e99999999999999999999", "1", "no number"),
        ("\u00bd", "0.5", "no number"),
        ("", "0", "no number"),
    ],
)
def test_anything_else_is_wrong_and_says_why(completion: str, ground_truth: str, reason: str) -> None:
    verdict = exact_number(completion, ground_truth)
    assert verdict.reward == 0.0
    assert reason in verdict.reason


@pytest.mark.parametrize(
    "completion",
    [
        "The answer is not 18.",
        "not 18",
        "It isn't 18",
        "It can never be 18.",
        "She does not make $18.",
        "anything but 18",
        "the sum \u2260 18",
        "Is it 18? No.",
        "18 is wrong",
        "19 or 18",
        "$19 or perhaps $18",
        "**19** or **18**",
        "between 17 and 18",
        "17\u201318",
        "It's less than 18.",
    ],
)
def test_a_number_denied_or_left_open_is_no_answer(completion: str) -> None:
    verdict = exact_number(completion, "18")
    assert verdict.reward == 0.0
    assert verdict.reason == f"denies {'$' * ('$18' in completion)}18 or offers another beside it"


@pytest.mark.parametrize(
    "completion",
    [
        "It is not 17 but 18.",
        "It isn't 17; it is 18.",
        "She does not sell 7 eggs, so she makes 9*2 = 18",
        "If 3 or 4 eggs break, she still gets $18.",
        "No carry is needed: 18",
        "Is it 17? No, it is 18.",
        "It cannot be 17, so 18.",
        "First 3, then 18, not only odd ones.",
    ],
)
def test_what_is_said_of_other_numbers_takes_nothing_back(completion: str) -> None:
    assert exact_number(completion, "18").reward == 1.0


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3), st.text())
def test_a_number_is_equal_to_itself_after_any_text(number: Decimal, before: str) -> None:
    before = before.replace("<think>", "").replace("</think>", "")
    assert exact_number(f"{before}\nThe answer is {number:,}", str(number)).reward == 1.0


@given(st.integers(), st.integers())
def test_integers_agree_with_python(answer: int, truth: int) -> None:
    assert exact_number(f"It is {answer}.", f"{truth:,}").reward == float(answer == truth)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_ground_truth_passes_its_own_verifier(number: Decimal) -> None:
    problem = PosedProblem("How many?", f"{number:f}")
    assert EXACT_NUMBER.completion_of is not None
    assert verifier(EXACT_NUMBER.completion_of(problem), problem).reward == 1.0


@given(st.text(alphabet="0123456789.,-+eE$/ {}\\!\u2212\u0661<think>") | st.text())
def test_no_completion_raises(completion: str) -> None:
    assert exact_number(completion, "18").reward in (0.0, 1.0)


@pytest.mark.parametrize("ground_truth", ["", "eighteen", "3/4", "1 2", "12%", "nan", "Infinity", "0x10"])
def test_a_ground_truth_that_is_no_number_is_refused_in_three_parts(ground_truth: str) -> None:
    with pytest.raises(GroundTruthError) as refusal:
        exact_number("18", ground_truth)
    assert repr(ground_truth) in refusal.value.found
    assert "18" in refusal.value.expected
    assert "math" in refusal.value.do


@pytest.mark.parametrize("piece", ["9", "1 ", "1,", "1,200,", "-", ".", "1e", "$", "1,\\!", "1/", "<think>"])
def test_a_megabyte_of_anything_is_read_in_time_with_a_short_reason(piece: str) -> None:
    completion = piece * (MEGABYTE // len(piece))
    start = time.process_time()
    verdict = exact_number(completion, "18")
    assert time.process_time() - start < 2.0
    assert verdict.reward == 0.0
    assert len(verdict.reason) < 200
