"""Hostile texts against the dataset's pattern, in bounded time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import DataError, GroundTruthError
from data_contracts.verdict import PosedProblem
from stages.verifiers.regex_match import regex_match, simple_regex_match

NOTHING = PosedProblem("", "")


@pytest.mark.parametrize(
    ("completion", "pattern"),
    [
        ("2024-05-06", r"\d{4}-\d\d-\d\d"),
        ("<think>1</think> 2024-05-06\n", r"\d{4}-\d\d-\d\d"),
        ("yes", "no|yes"),
        ("YES", "(?i)yes"),
        ("a\nb", "(?s)a.b"),
    ],
)
def test_a_full_match_is_right(completion: str, pattern: str) -> None:
    assert regex_match(completion, NOTHING, pattern=pattern).reward == 1.0


@pytest.mark.parametrize(
    ("completion", "pattern"),
    [
        ("", "yes"),
        ("yes and no", "no|yes"),
        ("no\nyes", "no|yes"),
        ("yes\nno", "^yes$"),
        ("2024-05-06 or 2025-05-06", r"\d{4}-\d\d-\d\d"),
        ("<think>yes</think>", "yes"),
        ("<think>yes", "yes"),
        ("y\u0435s", "yes"),
        ("ye\u200bs", "yes"),
        ("yes\x00", "yes"),
        ("yes\ud800", "yes"),
        ("yes|no", "yes|no"),
        ("(?i)YES", "yes"),
        (r"\d{4}", r"\d{4}"),
    ],
)
def test_anything_but_a_full_match_is_wrong(completion: str, pattern: str) -> None:
    assert regex_match(completion, NOTHING, pattern=pattern).reward == 0.0


def test_a_search_finds_a_part() -> None:
    assert regex_match("the year 2024, I think", NOTHING, pattern=r"\b\d{4}\b", how="search").reward == 1.0
    assert regex_match("the year 20245", NOTHING, pattern=r"\b\d{4}\b", how="search").reward == 0.0


@pytest.mark.parametrize(
    ("pattern", "piece"),
    [
        ("(a+)+b", "a"),
        ("(a|a)*b", "a"),
        ("(a|aa)+b", "a"),
        (r"(\w+\s*)+:", "word "),
        (r"(.*)(.*)(.*)(.*)(.*)x", "y"),
        ("(x+x+)+y", "x"),
        (r"([a-zA-Z]+)*!", "a"),
        ("a?" * 60 + "a" * 60 + "b", "a"),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a"),
        (r"(?:[01]*1[01]{200}x)", "10"),
        (r"\s+$|q", " x"),
    ],
)
@pytest.mark.parametrize("how", ["full", "search"])
def test_patterns_that_explode_elsewhere_end_here(pattern: str, piece: str, how: str) -> None:
    started = time.process_time()
    text = "z" + piece * (190_000 // len(piece)) + "z"
    assert regex_match(text, NOTHING, pattern=pattern, how=how).reward == 0.0  # pyright: ignore
    assert time.process_time() - started < 1.5


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        "a)|(b",
        r"(a)\1",
        "(?=a)a",
        "(?<!b)a",
        "a{1000}{1000}{1000}",
        "(" * 1000 + ")" * 1000,
        "(?P<a>x)(?P<a>y)",
        "[z-a]",
        "a*",
        "",
        ".*",
        "x|",
        "(?x)a # no end",
    ],
)
@pytest.mark.parametrize("completion", ["", "a", "x"])
def test_a_pattern_that_cannot_judge_is_refused_whatever_the_completion(
    pattern: str, completion: str
) -> None:
    with pytest.raises(DataError):
        regex_match(completion, NOTHING, pattern=pattern)


def test_a_ground_truth_is_an_example_that_matches() -> None:
    assert regex_match("12", PosedProblem("", "7"), pattern=r"\d+").reward == 1.0
    with pytest.raises(GroundTruthError):
        regex_match("12", PosedProblem("", "seven"), pattern=r"\d+")


def test_long_or_counted_work_is_left_to_a_worker() -> None:
    assert simple_regex_match("12", NOTHING, pattern=r"\d+") == regex_match("12", NOTHING, pattern=r"\d+")
    assert simple_regex_match("12", NOTHING, pattern=r"\d{2}") is None
    assert simple_regex_match("a", NOTHING, pattern="(?:(?:a{1,50}){1,50})b", how="search") is None
    assert simple_regex_match("1" * 400_000, NOTHING, pattern=r"\d+") is None


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a?a?)*b", "[^c]*" * 100 + "c", "(?:a?b?)*" * 20 + "c", "(?i)a|aa"]
)
def test_what_is_done_at_once_takes_a_tenth_of_a_second_at_most(pattern: str) -> None:
    longest = "a" * (1_000_000 // len(pattern))
    started = time.process_time()
    assert simple_regex_match(longest, NOTHING, pattern=pattern) is not None
    assert time.process_time() - started < 0.1


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text())
def test_no_text_raises_and_search_agrees_with_a_plain_find(completion: str) -> None:
    verdict = regex_match(completion, NOTHING, pattern="a1", how="search")
    answer = completion.rpartition("</think>")[2].partition("<think>")[0]
    assert verdict.reward == float("a1" in answer)
