"""The whole answer, character by character."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem
from stages.verifiers.exact_match import ExactMatchArguments, exact_match, first_accepted

ANY_CASE: ExactMatchArguments = {"case_sensitive": False}
ANY_OF: ExactMatchArguments = {"any_of": True}


@pytest.mark.parametrize(
    ("completion", "ground_truth", "arguments"),
    [
        ("Paris", "Paris", {}),
        ("  Paris\n", "Paris", {}),
        ("<think>Rome?</think>\n\nParis", "Paris", {}),
        ("cafe\u0301", "caf\u00e9", {}),
        ("paris", "PARIS", ANY_CASE),
        ("STRASSE", "stra\u00dfe", ANY_CASE),
        ("\u0390", "\u03b9\u0308\u0301", ANY_CASE),
        ("Rome", '["Paris", "Rome"]', ANY_OF),
        ('["Paris"]', '["Paris"]', {}),
        (" Paris", " Paris", {"strip": False}),
    ],
)
def test_the_same_text_is_right(completion: str, ground_truth: str, arguments: ExactMatchArguments) -> None:
    assert exact_match(completion, PosedProblem("", ground_truth), **arguments).reward == 1.0


@pytest.mark.parametrize(
    ("completion", "ground_truth", "arguments"),
    [
        ("", "Paris", {}),
        ("paris", "Paris", {}),
        ("Paris.", "Paris", {}),
        ("The answer is Paris", "Paris", {}),
        ("Paris Rome", "Paris", {}),
        ("Paris\nRome", "Paris", {}),
        ("Paris or Rome", '["Paris", "Rome"]', ANY_OF),
        ('["Paris", "Rome"]', '["Paris", "Rome"]', ANY_OF),
        ("P\u0430ris", "Paris", {}),
        ("Par\u200bis", "Paris", {}),
        ("\u200bParis", "Paris", {}),
        ("Paris\u0301", "Paris", {}),
        ("\uff30aris", "Paris", {}),
        ("Paris\x00", "Paris", {}),
        ("Pa  ris", "Pa ris", {}),
        ("<think>Paris</think>", "Paris", {}),
        ("<think>Paris", "Paris", {}),
        ("Paris\ud800", "Paris", {}),
        (" Paris", "Paris", {"strip": False}),
        ("Paris", " Paris", {"strip": False}),
        ("Paris" * 100_000, "Paris", {}),
    ],
)
def test_anything_beside_it_is_wrong(
    completion: str, ground_truth: str, arguments: ExactMatchArguments
) -> None:
    assert exact_match(completion, PosedProblem("", ground_truth), **arguments).reward == 0.0


@pytest.mark.parametrize("case_sensitive", [True, False])
def test_accents_without_end_take_no_time(case_sensitive: bool) -> None:
    accents = "a" + "\u0301\u0316" * 500_000  # reordering them takes quadratic time
    started = time.process_time()
    assert exact_match(accents, PosedProblem("", "\u00e1"), case_sensitive=case_sensitive).reward == 0.0
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("ground_truth", "arguments"),
    [
        ("", {}),
        (" \n", {}),
        ("  ", {"strip": False}),
        ("x" * 10_001, {}),
        ("Paris", ANY_OF),
        ('"Paris"', ANY_OF),
        ("[]", ANY_OF),
        ('["Paris", ""]', ANY_OF),
        ('["Paris", 1]', ANY_OF),
        ('[["Paris"]]', ANY_OF),
        ("[" * 9_000, ANY_OF),
    ],
)
@pytest.mark.parametrize("completion", ["", "Paris"])
def test_a_ground_truth_that_compares_with_nothing_is_refused(
    ground_truth: str, arguments: ExactMatchArguments, completion: str
) -> None:
    with pytest.raises(GroundTruthError):
        exact_match(completion, PosedProblem("", ground_truth), **arguments)


@settings(derandomize=True, deadline=None)
@given(st.text(min_size=1).filter(str.strip).filter(lambda text: "think>" not in text), st.booleans())
def test_every_text_matches_itself(text: str, case_sensitive: bool) -> None:
    problem = PosedProblem("", text)
    verdict = exact_match(first_accepted(problem), problem, case_sensitive=case_sensitive)
    assert verdict.reward == 1.0


def test_the_first_accepted_text_is_accepted() -> None:
    problem = PosedProblem("", '["Paris", "Rome"]')
    assert first_accepted(problem, any_of=True) == "Paris"
    assert exact_match("Paris", problem, any_of=True).reward == 1.0
