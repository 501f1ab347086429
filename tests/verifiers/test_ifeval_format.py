"""Shapes by their meaning: what is counted says something, and edges are no answer by themselves."""

from typing import Any

import pytest

from tests.verifiers.test_ifeval import judge


def met(completion: str, name: str, **given: Any) -> bool:
    return judge(completion, (name, given)).reward == 1.0


@pytest.mark.parametrize(
    ("completion", "count"),
    [
        ("[name] [your address]", 2),
        ("[] [ ] [...] [_] x", 0),
        ("[[name]]", 1),
        ("[a\nb]", 0),
        ("[name", 0),
        ("name]", 0),
        ("[\u200b] x", 0),
        ("［name］", 1),
        ("[a][b][c]", 3),
        ("<think>[name]</think>none", 0),
    ],
)
def test_placeholders_name_something(completion: str, count: int) -> None:
    name = "detectable_content:number_placeholders"
    assert count == 0 or met(completion, name, num_placeholders=count)
    assert not met(completion, name, num_placeholders=count + 1)


@pytest.mark.parametrize(
    ("completion", "count"),
    [
        ("* one\n* two", 2),
        ("- one\n  - two\n\t* three", 3),
        ("*one\n-two", 2),  # no space needed, as published
        ("one\n---\ntwo * three", 0),
        ("* \n*\n-\n* one", 1),
        ("** one\n**two** three", 0),
        ("one\n\n\n* two", 1),
        ("• one\n+ two\n1. three", 0),
        ("* \u200b\n* \u3164\n* one", 1),
        ("one - two\n* three", 1),
    ],
)
def test_bullets_are_counted_exactly(completion: str, count: int) -> None:
    name = "detectable_format:number_bullet_lists"
    for asked in range(1, 5):
        assert met(completion, name, num_bullets=asked) == (asked == count)


@pytest.mark.parametrize(
    ("completion", "count"),
    [
        ("*one* and **two**", 2),
        ("***one***", 1),
        ("** ** * * *.* x", 0),
        ("*one\ntwo*", 0),
        ("*one", 0),
        ("* one\n* two", 0),
        ("*\u200b* x", 0),
        ("****** x", 0),
        ("***one*** *two* **three**", 3),
        ("_one_ x", 0),
    ],
)
def test_highlights_count_once(completion: str, count: int) -> None:
    name = "detectable_format:number_highlighted_sections"
    assert count == 0 or met(completion, name, num_highlights=count)
    assert not met(completion, name, num_highlights=count + 1)


@pytest.mark.parametrize(
    ("completion", "count"),
    [
        ("Section 1\nRoses.\nSection 2\nOaks.", 2),
        ("Section 1: roses Section2: oaks", 2),
        ("Section 1 Section 2 Section 3", 0),
        ("Section 1\nRoses.\nSection 1\nOaks.", 1),
        ("Section 1\nRoses.\nSection 01\nOaks.", 1),
        ("SECTION 1\nRoses.", 0),
        ("Section one\nRoses.", 0),
        ("Section 1\n***\nSection 2\n---", 0),
        ("Section 1\n\u200b\nSection 2\nOaks.", 1),
        (f"Section {'9' * 100_000}\nRoses.", 1),
    ],
)
def test_sections_have_numbers_of_their_own_and_content(completion: str, count: int) -> None:
    name = "detectable_format:multiple_sections"
    assert count == 0 or met(completion, name, section_spliter="Section", num_sections=count)
    assert not met(completion, name, section_spliter="Section", num_sections=count + 1)


def test_a_section_mark_is_no_regular_expression() -> None:
    name = "detectable_format:multiple_sections"
    assert met("Part (A) 1 x", name, section_spliter="Part (A)", num_sections=1)
    assert not met("Part A 1 x", name, section_spliter="Part (A)", num_sections=1)


@pytest.mark.parametrize(
    ("completion", "count"),
    [
        ("one\n***\ntwo", 2),
        ("one *** two *** three", 3),
        ("***\none\n***\ntwo\n***", 2),
        ("one\n\ntwo", 1),
        ("one\n***\n***\ntwo", 0),
        ("one\n***\n...\n***\ntwo", 0),
        ("one\n***\n\u200b\n***\ntwo", 0),
        ("one\n* * *\ntwo", 1),
        ("one\n---\ntwo", 1),
        ("one\n***\n\u3164", 1),
    ],
)
def test_paragraphs_between_dividers_are_counted_exactly(completion: str, count: int) -> None:
    for asked in range(1, 5):
        assert met(completion, "length_constraints:number_paragraphs", num_paragraphs=asked) == (
            asked == count
        )


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        ("One.\n\nRoses are red.", True),
        ("One.\n\n'Roses', she said.", True),
        ('One.\n\n"ROSES" are red.', True),
        ("\n\nOne.\n\n\n\nRoses are red.\n\n", True),
        ("One.\n\nRo\u200bses are red.", True),
        ("Roses.\n\nOne.", False),
        ("One.\n\nTwo.\n\nRoses.", False),
        ("One.\nRoses.", False),
        ("One.\n\nRosesare red.", False),
        ("One.\n\n**Roses** are red.", False),
        ("One.\n\n\u200b\n\nRoses.", True),
        ("...\n\nRoses.", False),
    ],
)
def test_the_second_of_two_paragraphs_starts_with_the_word(completion: str, is_met: bool) -> None:
    name = "length_constraints:nth_paragraph_first_word"
    assert met(completion, name, num_paragraphs=2, nth_paragraph=2, first_word="roses") == is_met


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        ("<<Roses>>", True),
        ("Here: <<a > b>> c", True),
        ("<<<Roses>>>", True),
        ("<<>> x", False),
        ("<< >> x", False),
        ("<<.>> x", False),
        ("<<>> x <<>>", False),
        ("<<Ro\nses>>", False),
        ("<Roses>", False),
        (">>Roses<<", False),
        ("<<\u200b>> x", False),
        ("«Roses»", False),
    ],
)
def test_a_title_has_a_name_in_it(completion: str, is_met: bool) -> None:
    assert met(completion, "detectable_format:title") == is_met


@pytest.mark.parametrize(
    ("marker", "completion", "is_met"),
    [
        ("P.S.", "Bye.\n\nP.S. I love you", True),
        ("P.S.", "Bye. p. s. I love you", True),
        ("P.P.S", "Bye.\n\nP.P.S I love you", True),
        ("P.P.S", "Bye.\nP. P. S. I love you", True),
        ("P.S.", "Bye.\n\nP.S.", False),
        ("P.S.", "Bye.\n\nP.S. ...", False),
        ("P.S.", "P.S. I love you", False),
        ("P.S.", "... P.S. I love you", False),
        ("P.P.S", "Bye.\n\nP.S. I love you", False),
        ("P.S.", "Bye.\n\nPS I love you", False),
        ("P.S.", "Bye.\n\nxP.S. I love you", False),
        ("Note (1)", "Bye.\n\nnote (1) I love you", True),
        ("Note (1)", "Bye.\n\nnote 1 I love you", False),
    ],
)
def test_a_postscript_stands_between_an_answer_and_its_words(
    marker: str, completion: str, is_met: bool
) -> None:
    assert met(completion, "detectable_content:postscript", postscript_marker=marker) == is_met


@pytest.mark.parametrize(
    "completion",
    [
        '{"a": 1}',
        "[1, 2]",
        '```json\n{"a": 1}\n```',
        '```\n[{"a": "b"}]\n```',
        '  {"a": "é\\u00e9"}  ',
        "[" * 99 + "1" + "]" * 99,
    ],
)
def test_an_object_or_array_is_json(completion: str) -> None:
    assert met(completion, "detectable_format:json_format")


@pytest.mark.parametrize(
    "completion",
    [
        "5",
        '"x"',
        "true",
        "null",
        "{}",
        "[]",
        '{"": ""}',
        "[NaN]",
        "[Infinity]",
        "[-Infinity]",
        '{"a": 1} and more',
        'Here: {"a": 1}',
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": 1} // b',
        '{"a": 01}',
        '{"a": 1}{"b": 2}',
        "[" * 100_000 + "1" + "]" * 100_000,
        "[" + "9" * 100_000 + "]",
        '```json\n{"a": 1}\n```\nDone.',
        '｛"a": 1｝',
    ],
)
def test_anything_else_is_no_json_answer(completion: str) -> None:
    assert not met(completion, "detectable_format:json_format")


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        ("My answer is yes.", True),
        ("Well, My answer is no. That is all.", True),
        ("My answer is maybe. My answer is maybe.", True),
        ("My answer is yes. My answer is no.", False),
        ("My answer is yes. My answer is no. My answer is maybe.", False),
        ("My answer is yes", False),
        ("my answer is yes.", False),
        ("My answer is perhaps.", False),
        ("<think>My answer is yes.</think>My answer is no idea", False),
        ("My answer is\nyes.", False),
    ],
)
def test_one_of_three_options_is_given(completion: str, is_met: bool) -> None:
    assert met(completion, "detectable_format:constrained_response") == is_met


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        ("Roses.******Oaks.", True),
        ("******\nRoses.\n******\nOaks.\n******", True),
        ("Roses.\n******\nRoses.", False),
        ("Roses.\n******\nroses", False),
        ("Roses.\n******\nRo\u200bses!", False),
        ("Roses.\n******\n...", False),
        ("Roses.", False),
        ("Roses.******Oaks.******Elms.", False),
        ("Roses.************Oaks.", False),
        ("Roses.***Oaks.", False),
        ("******", False),
    ],
)
def test_two_responses_differ_in_words(completion: str, is_met: bool) -> None:
    assert met(completion, "combination:two_responses") == is_met


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        ("Name a rose. Damask.", True),
        (" name A ROSE.\n\nDamask.", True),
        ("Name a rose.", False),
        ("Name a rose. ...", False),
        ("Name a rose.\u200b\u3164", False),
        ("Sure! Name a rose. Damask.", False),
        ('"Name a rose." Damask.', False),
        ("Name the rose. Damask.", False),
        ("Damask.", False),
        ("Damask. Name a rose.", False),
        ("<think>Name a rose.</think> Damask.", False),
    ],
)
def test_an_answer_follows_the_repeated_prompt(completion: str, is_met: bool) -> None:
    assert met(completion, "combination:repeat_prompt", prompt_to_repeat="Name a rose.") == is_met


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        ("Roses are red. That is all!", True),
        ("roses. THAT IS ALL! \n", True),
        ('"Roses. That is all!"', True),
        ("That is all!", False),
        ('"... That is all!"', False),
        ("\u200bThat is all!", False),
        ("Roses. That is all", False),
        ("Roses. That is all!!", False),
        ("Roses. That is all! Bye.", False),
        ("That is all! Roses.", False),
        ("Roses. That is all!\u200b", True),
    ],
)
def test_the_phrase_ends_an_answer(completion: str, is_met: bool) -> None:
    assert met(completion, "startend:end_checker", end_phrase="That is all!") == is_met


def test_a_phrase_that_ends_in_a_quotation_mark_can_be_met() -> None:
    assert met('He said: "Go."', "startend:end_checker", end_phrase='"Go."')


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        ('"Roses."', True),
        (' "Roses."\n', True),
        ('"', False),
        ('""', False),
        ('"\u200b"', False),
        ('"Roses.', False),
        ('Roses."', False),
        ("'Roses.'", False),
        ("“Roses.”", False),
        ('"Roses." Bye.', False),
    ],
)
def test_quotation_marks_wrap_all_of_it(completion: str, is_met: bool) -> None:
    assert met(completion, "startend:quotation") == is_met
