"""Shaping terms: the shape, the length and the repetition of a completion, whatever it says."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem
from stages.verifiers.format import FormatConditions, follows_format
from stages.verifiers.length import LengthArguments, length
from stages.verifiers.repetition import RepetitionArguments, repetition

PROBLEM = PosedProblem("", "")
TAGS = ["<think>", "</think>", "<answer>", "</answer>"]


def test_all_conditions_together_are_right() -> None:
    verdict = follows_format(
        "<think>a</think><answer>b</answer>",
        PROBLEM,
        contains=TAGS,
        starts_with="<think>",
        ends_with="</answer>",
        max_characters=34,
    )
    assert verdict.reward == 1.0
    assert verdict.parts == {"starts_with": 1, "ends_with": 1, "contains": 1, "max_characters": 1}


@pytest.mark.parametrize(
    "completion",
    [
        "<think>a</think><answer>b",
        "<answer>b</answer><think>a</think>",
        "<think>a</think><answer>b</answer><answer>c</answer>",
        "<think><think>a</think><answer>b</answer>",
        "",
    ],
)
def test_pieces_missing_repeated_or_out_of_order_are_wrong(completion: str) -> None:
    assert follows_format(completion, PROBLEM, contains=TAGS).reward == 0.0


def test_pieces_may_not_share_characters() -> None:
    assert follows_format("aba", PROBLEM, contains=["ab", "ba"]).reward == 0.0
    assert follows_format("aaa", PROBLEM, contains=["aa"]).reward == 0.0, "twice, overlapping"


def test_the_verdict_names_what_broke() -> None:
    verdict = follows_format("hello", PROBLEM, starts_with="h", max_characters=4)
    assert verdict.reward == 0.0
    assert verdict.reason == "breaks max_characters"
    assert verdict.parts == {"starts_with": 1.0, "max_characters": 0.0}


@given(st.lists(st.text(alphabet="<>", max_size=4), min_size=5, max_size=5))
def test_four_different_tags_with_anything_harmless_between_are_right(between: list[str]) -> None:
    completion = between[0] + "".join(tag + text for tag, text in zip("abcd", between[1:], strict=True))
    assert follows_format(completion, PROBLEM, contains=list("abcd")).reward == 1.0


def test_no_condition_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="no condition"):
        follows_format("anything", PROBLEM)


@pytest.mark.parametrize(
    "completion",
    [
        "<think>a</think><answer>b</answer>".replace("<answer>", "< answer>"),
        "<think>a</think><answer>b</answer>".replace("<answer>", "<\u200banswer>"),
        "<think>a</think><answer>b</answer>".replace("<answer>", "<\u0430nswer>"),
        "<THINK>a</THINK><ANSWER>b</ANSWER>",
        "&lt;think&gt;a&lt;/think&gt;&lt;answer&gt;b&lt;/answer&gt;",
        "<think>a</think><answer>b</answer> <answer>",
        "</answer><answer></think><think>",
        "<think>The format is <think></think><answer></answer></think><answer>b</answer>",
        "The completion has the asked format. reward = 1.0",
        "<think>" * 200_000,
    ],
)
def test_what_only_resembles_the_pieces_is_wrong(completion: str) -> None:
    start = time.process_time()
    assert follows_format(completion, PROBLEM, contains=TAGS).reward == 0.0
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("num_characters", "reward"), [(0, 1.0), (100, 1.0), (101, 0.98), (125, 0.5), (150, 0.0), (9_999, 0.0)]
)
def test_beyond_a_maximum_the_reward_falls_along_a_line(num_characters: int, reward: float) -> None:
    verdict = length("a" * num_characters, PROBLEM, unit="characters", maximum=100, fall_off=50)
    assert verdict.reward == pytest.approx(reward)


@pytest.mark.parametrize(
    ("num_words", "reward"), [(5, 0.0), (10, 0.0), (15, 0.5), (20, 1.0), (25, 0.5), (30, 0.0)]
)
def test_equal_bounds_are_a_target(num_words: int, reward: float) -> None:
    completion = "word " * num_words
    verdict = length(completion, PROBLEM, unit="words", minimum=20, maximum=20, fall_off=10)
    assert verdict.reward == pytest.approx(reward)


def test_without_a_fall_off_the_bounds_are_sharp_and_the_verdict_says_by_how_much() -> None:
    verdict = length("a" * 103, PROBLEM, unit="characters", maximum=100)
    assert (verdict.reward, verdict.reason) == (0.0, "103 characters, 3 too many")
    assert length("a" * 9, PROBLEM, unit="characters", minimum=10).reason == "9 characters, 1 too few"
    assert length("a" * 10, PROBLEM, unit="characters", minimum=10, maximum=10).reward == 1.0


@pytest.mark.parametrize(
    ("completion", "unit"),
    [
        (" " * 1000, "characters"),
        ("a" + "\n" * 1000, "characters"),
        ("a" + "\u200b" * 1000, "characters"),
        ("a\u00a0" + "\u3000" * 1000, "characters"),
        ("a" + "\x00" * 1000, "characters"),
        ("a" + "\ufeff" * 1000, "characters"),
        ("- " * 1000, "words"),
        ("\u200b " * 1000, "words"),
        (". . . ! " * 1000, "words"),
        ("a" * 1000, "words"),
        ("\n\n\n" * 1000, "words"),
        ("a" + "\u3164" * 1000, "characters"),
        ("\u3164 " * 1000, "words"),
        ("a" + "\u2800" * 1000, "characters"),
        ("\ufdfa" * 40, "characters"),
    ],
)
def test_what_nobody_sees_does_not_reach_a_minimum(completion: str, unit: Any) -> None:
    assert length(completion, PROBLEM, unit=unit, minimum=50).reward == 0.0


@pytest.mark.parametrize("padding", [" ", "\n", "\u200b", "\x00", "\u3000"])
def test_but_it_counts_against_a_maximum(padding: str) -> None:
    assert length("a" + padding * 1000, PROBLEM, unit="characters", maximum=50).reward == 0.0


def test_chinese_and_japanese_characters_are_words() -> None:
    sentence = (
        "\u6211\u4eca\u5929\u53bb\u5b66\u6821\uff0c\u5f88\u9ad8\u5174\u3002"  # nine characters, two marks
    )
    assert length(sentence, PROBLEM, unit="words", minimum=9, maximum=9).reward == 1.0
    assert length(f"GPT-4 {sentence}", PROBLEM, unit="words", minimum=10, maximum=10).reward == 1.0
    assert length("it's an e-mail, isn't it?", PROBLEM, unit="words", minimum=5, maximum=5).reward == 1.0


def test_invisible_characters_do_not_make_a_repetition_new() -> None:
    plain = " ".join(["the cat sat"] * 30)
    varied = " ".join("th" + "\u200b" * time + "e cat sat" for time in range(30))
    assert repetition(varied, PROBLEM, n=3) == repetition(plain, PROBLEM, n=3)


def test_thinking_counts_as_length() -> None:
    assert length(f"<think>{'a' * 100}</think>42", PROBLEM, unit="characters", maximum=50).reward == 0.0


@pytest.mark.parametrize(
    "arguments", [{}, {"fall_off": 5}, {"minimum": 5, "maximum": 4}, {"minimum": 1, "maximum": 0}]
)
def test_bounds_that_nothing_or_everything_meets_are_refused(arguments: Any) -> None:
    with pytest.raises(DataError, match="minimum"):
        length("anything", PROBLEM, unit="characters", **arguments)


PROSE = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. So in May "
    "she sold 48 / 2 = 24 clips, which makes 48 + 24 = 72 clips altogether."
)


@pytest.mark.parametrize("completion", ["", "one", "one two", "the cat and the dog and the bird", PROSE])
def test_ordinary_prose_is_not_repetition(completion: str) -> None:
    assert repetition(completion, PROBLEM, n=3).reward == 1.0


def test_the_reward_is_the_share_of_distinct_ngrams_above_the_limit() -> None:
    completion = "a b c d a b c"  # 5 trigrams: abc bcd cda dab abc
    assert repetition(completion, PROBLEM, n=3).parts["repeated"] == pytest.approx(1 / 5)
    assert repetition(completion, PROBLEM, n=3).reward == pytest.approx(4 / 5)
    assert repetition(completion, PROBLEM, n=3, limit=0.1).reward == pytest.approx(1 - 0.1 / 0.9)
    assert repetition(completion, PROBLEM, n=3, limit=0.2).reward == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        "I am sure. " * 300,
        "i am Sure. I AM SURE! " * 300,
        "a" * 3000,
        "abc" * 1000,
        "\u6211\u5f88\u786e\u5b9a" * 300,
        "!" * 5000,
        "=-" * 2000,
        "\U0001f600" * 5000,
        "wait, " * 500,
        f"{PROSE}\n" * 30,
        "<think></think>" * 300,
        "1 + 1 = 2\n" * 300,
    ],
)
def test_a_completion_that_goes_round_in_circles_gets_next_to_nothing(completion: str) -> None:
    assert repetition(completion, PROBLEM, n=4).reward < 0.1


def test_a_repeated_paragraph_costs_its_share() -> None:
    assert repetition(f"{PROSE} {PROSE}", PROBLEM, n=4).reward == pytest.approx(0.5, abs=0.05)


@settings(derandomize=True)
@given(st.text(), st.integers(1, 64), st.floats(0, 0.99))
def test_every_text_has_a_repetition_and_a_length(completion: str, n: int, limit: float) -> None:
    assert 0.0 <= repetition(completion, PROBLEM, n=n, limit=limit).reward <= 1.0
    verdict = length(completion, PROBLEM, unit="words", minimum=3, maximum=5, fall_off=n)
    assert 0.0 <= verdict.reward <= 1.0


@pytest.mark.parametrize("piece", ["a", "a ", "\u6211", "!", "\n", "ab1 "])
def test_a_megabyte_is_read_in_time(piece: str) -> None:
    completion = piece * (1_000_000 // len(piece))
    start = time.process_time()
    repetition(completion, PROBLEM, n=4)
    length(completion, PROBLEM, unit="words", minimum=10)
    length(completion, PROBLEM, unit="characters", minimum=10)
    assert time.process_time() - start < 3.0


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        (FormatConditions, b'{"contains": []}'),
        (FormatConditions, b'{"pattern": "(a+)+$"}'),
        (FormatConditions, b'{"max_characters": "10"}'),
        (LengthArguments, b'{"maximum": 10}'),
        (LengthArguments, b'{"unit": "tokens", "maximum": 10}'),
        (LengthArguments, b'{"unit": "words", "maximum": -1}'),
        (RepetitionArguments, b"{}"),
        (RepetitionArguments, b'{"n": 0}'),
        (RepetitionArguments, b'{"n": 1000000}'),
        (RepetitionArguments, b'{"n": 3, "limit": 1.0}'),
        (RepetitionArguments, b'{"n": 3, "limit": NaN}'),
    ],
)
def test_arguments_that_make_no_sense_are_refused(shape: Any, arguments: bytes) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(shape).validate_json(arguments, strict=True)
