"""Words by the meaning of the constraint: no disguise meets it, and none dodges it."""

import time
from typing import Any

import pytest

from tests.verifiers.test_ifeval import judge


def met(completion: str, name: str, **given: Any) -> bool:
    return judge(completion, (name, given)).reward == 1.0


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        ("A rose.", True),
        ("A ROSE.", True),
        ("primroses", True),  # inside a word too, as published
        ("r.se", False),
        ("r o s e", False),
        ("rоse", False),  # a Cyrillic o
        ("ro\u200bse", True),  # as a reader sees it
        ("ｒｏｓｅ", True),
        ("<think>rose</think>oak", False),
        ("rosé", False),
        ("ro\nse", False),
    ],
)
def test_a_keyword_is_text_in_any_case(completion: str, is_met: bool) -> None:
    assert met(completion, "keywords:existence", keywords=["rose"]) == is_met


@pytest.mark.parametrize("keyword", ["c++", "a.b", "(x", "[a-z]*", "\\d", "$"])
def test_a_keyword_is_no_regular_expression(keyword: str) -> None:
    assert met(f"x {keyword} y", "keywords:existence", keywords=[keyword])
    assert not met("x 5 aab y", "keywords:existence", keywords=[keyword])
    assert not met(f"x {keyword} y", "keywords:forbidden_words", forbidden_words=[keyword])


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        ("A rocket.", True),
        ("Bedrock and rocks.", True),
        ("rock_star", True),
        ("rock", False),
        ("ROCK!", False),
        ("(rock)", False),
        ("rock's", False),
        ("rocket rock", False),
        ("ro\u200bck", False),
        ("ro\u00adck", False),
        ("r\x00ock", False),
        ("rоck", False),  # a Cyrillic o
        ("a rοck here", False),  # a Greek omicron
        ("ｒｏｃｋ", False),
        ("𝐫𝐨𝐜𝐤", False),
        ("Наша скала о ск", True),  # Russian is read as Russian
    ],
)
def test_a_forbidden_word_is_a_whole_word_in_any_disguise(completion: str, is_met: bool) -> None:
    assert met(completion, "keywords:forbidden_words", forbidden_words=["rock"]) == is_met


@pytest.mark.parametrize(
    ("completion", "at_least_two"),
    [
        ("war and peace and war", True),
        ("War, WAR", True),
        ("warwar", True),
        ("war", False),
        ("w\u200bar war", True),
        ("wаr war", False),  # a Cyrillic a
    ],
)
def test_keyword_frequency_counts_what_is_seen(completion: str, at_least_two: bool) -> None:
    name = "keywords:frequency"
    assert met(completion, name, keyword="war", frequency=2, relation="at least") == at_least_two


@pytest.mark.parametrize("completion", ["war war", "wаr wаr war and war", "ｗａｒ war", "w\u2060ar war"])
def test_less_than_cannot_be_met_by_disguise(completion: str) -> None:
    assert not met(completion, "keywords:frequency", keyword="war", frequency=2, relation="less than")


@pytest.mark.parametrize(
    ("completion", "letter", "count"),
    [
        ("Queue Q", "q", 2),
        ("Ｑq", "q", 2),
        ("# a ##", "#", 3),
        ("аa", "a", 1),
        ("Äa", "ä", 1),
        ("a!\u200b!", "!", 2),
    ],
)
def test_letters_count_in_any_case(completion: str, letter: str, count: int) -> None:
    name = "keywords:letter_frequency"
    assert met(completion, name, letter=letter, let_frequency=count, let_relation="at least")
    assert not met(completion, name, letter=letter, let_frequency=count + 1, let_relation="at least")


def test_a_lookalike_letter_counts_against_less_than() -> None:
    assert not met(
        "аа big cat", "keywords:letter_frequency", letter="a", let_frequency=3, let_relation="less than"
    )


@pytest.mark.parametrize(
    ("completion", "count"),
    [
        ("one two three", 3),
        ("it's e-mail", 4),  # as published: an unbroken run of letters and digits
        ("snake_case 3.14", 3),
        ("_ __ _ one", 1),
        ("one\u200btwo", 1),
        ("cafe\u0301s", 1),
        ("हिन्दी भाषा", 2),
        ("... - one ! ?", 1),
        ("a" * 1000, 1),
        ("a\u0301" * 5, 1),
        ("a" + "\u0301" * 1000 + "b", 1),
        ("你好 世界", 2),
    ],
)
def test_words_are_runs_of_letters_and_digits(completion: str, count: int) -> None:
    name = "length_constraints:number_words"
    assert met(completion, name, num_words=count, relation="at least")
    assert not met(completion, name, num_words=count + 1, relation="at least")
    assert met(completion, name, num_words=count + 1, relation="less than")


@pytest.mark.parametrize(
    ("completion", "count"),
    [
        ("One. Two! Three?", 3),
        ("Dr. Smith met Mr. Jones at 5 p.m. yesterday.", 1),
        ("It costs 3.50 at www.example.com today.", 1),
        ('He said "No." Then he left.', 2),
        ("J. K. Rowling wrote it. I read it.", 2),
        ("Wait... what?", 1),
        ("Well! ! ! ! ! !", 1),
        ("Well!!!!!!", 1),
        (". . . . . One", 1),
        ("One.\n\n...\n\n!!!\n\nTwo.", 2),
        ("One. \u3164. \u3164. Two.", 2),
        ("no end", 1),
        ("The U.S. economy grew. It did.", 2),
        ("the cat sat. the dog ran.", 2),
    ],
)
def test_sentences_end_where_a_reader_ends_them(completion: str, count: int) -> None:
    name = "length_constraints:number_sentences"
    assert met(completion, name, num_sentences=count, relation="at least")
    assert not met(completion, name, num_sentences=count + 1, relation="at least")
    assert met(completion, name, num_sentences=count + 1, relation="less than")


@pytest.mark.parametrize(
    ("completion", "count"),
    [
        ("NASA and GPT-4", 2),
        ("I DON'T know", 2),
        ("I DON’T know", 2),
        ("NASA,ESA (YES) NO:MAYBE STOP!GO", 7),
        ("U.S. 5 10KM", 2),
        ("A/B", 1),
        ("N\u200bA\u200bS\u200bA", 1),
        ("ＮＡＳＡ", 1),
        ("Nasa iPhone", 0),
        ("12 -- ...", 0),
        ("WELL--DONE...NOW", 3),
    ],
)
def test_capital_words_are_whole_words(completion: str, count: int) -> None:
    name = "change_case:capital_word_frequency"
    completion = f"x {completion}"
    assert met(completion, name, capital_frequency=count + 1, capital_relation="less than")
    assert count == 0 or met(completion, name, capital_frequency=count, capital_relation="at least")
    assert not met(completion, name, capital_frequency=count + 1, capital_relation="at least")


@pytest.mark.parametrize("comma", list(",，、،﹐︐\u201a\u055d\u1363\u2e41\uff64"))
def test_a_comma_of_any_script_is_a_comma(comma: str) -> None:
    assert not met(f"one{comma} two", "punctuation:no_comma")


@pytest.mark.parametrize(
    "text",
    [
        "\u6211\u53bb\u5b66\u6821\uff0c\u5f88\u9ad8\u5174\u3002",
        "\u5b66\u6821\u3001\u5bb6",
        "\u0630\u0647\u0628\u062a\u060c \u062b\u0645 \u0639\u062f\u062a",
    ],
)
def test_text_of_another_script_keeps_its_own_commas(text: str) -> None:
    assert met(text, "punctuation:no_comma")
    assert not met(f"{text},", "punctuation:no_comma")


def test_other_punctuation_is_no_comma() -> None:
    assert met("one; two. three: 'four' — ʻokina ș", "punctuation:no_comma")


@pytest.mark.parametrize(
    "bomb",
    [
        "a" * 500_000,
        "." * 200_000,
        ". " * 60_000,
        "_" * 500_000,
        "[" * 200_000,
        "a\u0315\u0300" * 60_000,
        "a" + "\u0315\u0300" * 100_000,
        "rock" * 100_000,
        "*" * 300_000,
        "<<" * 150_000,
        "\n" * 300_000 + "a",
        "p. " * 100_000,
    ],
)
def test_long_text_takes_no_more_than_its_share_of_time(bomb: str) -> None:
    constraints = [
        ("keywords:forbidden_words", {"forbidden_words": ["rock"]}),
        ("length_constraints:number_words", {"num_words": 9, "relation": "at least"}),
        ("length_constraints:number_sentences", {"num_sentences": 9, "relation": "at least"}),
        ("change_case:capital_word_frequency", {"capital_frequency": 9, "capital_relation": "at least"}),
        ("detectable_content:number_placeholders", {"num_placeholders": 9}),
        ("detectable_format:number_bullet_lists", {"num_bullets": 9}),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 9}),
        ("detectable_format:title", {}),
        ("detectable_content:postscript", {"postscript_marker": "P.P.S"}),
        ("detectable_format:json_format", {}),
    ]
    start = time.process_time()
    judge(bomb, *constraints)
    assert time.process_time() - start < 3.0
