"""IFEval: rows are checked before answers, parts are named, language alone waits for a worker."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.ifeval import IFEVAL, ifeval
from stages.verifiers.ifeval_language import ifeval_with_languages

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
PROBLEM = PosedProblem("Say something.", "")
ENGLISH = "the garden was full of roses and every morning my grandmother went out to water them."

EVERY_CONSTRAINT: dict[str, dict[str, Any]] = {
    "keywords:existence": {"keywords": ["rose"]},
    "keywords:frequency": {"keyword": "rose", "frequency": 2, "relation": "at least"},
    "keywords:forbidden_words": {"forbidden_words": ["rock"]},
    "keywords:letter_frequency": {"letter": "q", "let_frequency": 3, "let_relation": "less than"},
    "language:response_language": {"language": "en"},
    "length_constraints:number_sentences": {"num_sentences": 3, "relation": "less than"},
    "length_constraints:number_paragraphs": {"num_paragraphs": 2},
    "length_constraints:number_words": {"num_words": 20, "relation": "at least"},
    "length_constraints:nth_paragraph_first_word": {
        "num_paragraphs": 2,
        "nth_paragraph": 1,
        "first_word": "rose",
    },
    "detectable_content:number_placeholders": {"num_placeholders": 1},
    "detectable_content:postscript": {"postscript_marker": "P.S."},
    "detectable_format:number_bullet_lists": {"num_bullets": 1},
    "detectable_format:constrained_response": {},
    "detectable_format:number_highlighted_sections": {"num_highlights": 1},
    "detectable_format:multiple_sections": {"section_spliter": "Section", "num_sections": 2},
    "detectable_format:json_format": {},
    "detectable_format:title": {},
    "combination:two_responses": {},
    "combination:repeat_prompt": {"prompt_to_repeat": "Say something."},
    "startend:end_checker": {"end_phrase": "The end."},
    "startend:quotation": {},
    "change_case:capital_word_frequency": {"capital_frequency": 1, "capital_relation": "less than"},
    "change_case:english_capital": {},
    "change_case:english_lowercase": {},
    "punctuation:no_comma": {},
}


def judge(completion: str, *constraints: tuple[str, dict[str, Any]], **options: Any) -> Verdict:
    """As a run does: at once where possible, else as the worker does."""
    arguments: Any = {
        "instruction_id_list": [name for name, _ in constraints],
        "kwargs": [kwargs for _, kwargs in constraints],
        **options,
    }
    TypeAdapter(IFEVAL.arguments).validate_python(arguments, strict=True)
    return ifeval(completion, PROBLEM, **arguments) or ifeval_with_languages(completion, PROBLEM, **arguments)


def test_there_are_the_25_published_constraints() -> None:
    assert len(EVERY_CONSTRAINT) == 25
    verdict = judge("x", *EVERY_CONSTRAINT.items(), reward="fraction")
    assert list(verdict.parts) == list(EVERY_CONSTRAINT)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"BURNISH_REAL_DATA: {REAL_DATA} does not exist")
def test_every_published_row_can_be_checked() -> None:
    rows = [json.loads(line) for line in (REAL_DATA / "ifeval" / "input_data.jsonl").read_text().splitlines()]
    assert len(rows) == 541
    for row in rows:
        verdict = judge("", *zip(row["instruction_id_list"], row["kwargs"], strict=True))
        assert verdict.reward == 0.0


@pytest.mark.parametrize("name", EVERY_CONSTRAINT)
@pytest.mark.parametrize(
    "completion",
    [
        "",
        " \n\t ",
        "...",
        "\u200b\u2060",
        "\u3164",
        "\u2800",
        "<think>a rose.</think>",
        "<think>Roses are red",
        "👍",
        "***",
        "_",
    ],
)
def test_saying_nothing_meets_no_constraint(name: str, completion: str) -> None:
    verdict = judge(completion, (name, EVERY_CONSTRAINT[name]))
    assert (verdict.reward, verdict.parts) == (0.0, {name: 0.0})
    assert judge(completion, (name, EVERY_CONSTRAINT[name]), loose=True).reward == 0.0


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("keywords:existance", {"keywords": ["a"]}),
        ("", {}),
        ("keywords:existence", {}),
        ("keywords:existence", {"keywords": None}),
        ("keywords:existence", {"keywords": []}),
        ("keywords:existence", {"keywords": "rose"}),
        ("keywords:existence", {"keywords": ["rose", 5]}),
        ("keywords:existence", {"keywords": [" "]}),
        ("keywords:existence", {"keywords": ["\u200b"]}),
        ("keywords:existence", {"keywords": ["a" * 201]}),
        ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "at most"}),
        ("keywords:frequency", {"keyword": "a", "frequency": "2", "relation": "at least"}),
        ("keywords:frequency", {"keyword": "a", "frequency": 2.0, "relation": "at least"}),
        ("keywords:frequency", {"keyword": "a", "frequency": True, "relation": "at least"}),
        ("keywords:frequency", {"keyword": "a", "frequency": 0, "relation": "at least"}),
        ("keywords:frequency", {"keyword": "a", "frequency": -1, "relation": "less than"}),
        ("keywords:frequency", {"keyword": "a", "relation": "less than"}),
        ("keywords:letter_frequency", {"letter": "ab", "let_frequency": 1, "let_relation": "at least"}),
        ("keywords:letter_frequency", {"letter": "", "let_frequency": 1, "let_relation": "at least"}),
        ("keywords:letter_frequency", {"letter": "ﬁ", "let_frequency": 1, "let_relation": "at least"}),
        ("language:response_language", {"language": "tlh"}),
        ("language:response_language", {"language": "English"}),
        ("language:response_language", {}),
        ("length_constraints:number_words", {"num_words": 1, "relation": "less than"}),
        ("length_constraints:number_sentences", {"num_sentences": 1, "relation": "less than"}),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"},
        ),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "a b"},
        ),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "a."},
        ),
        ("detectable_format:title", {"num_highlights": 1}),
        ("punctuation:no_comma", {"comma": ","}),
        ("startend:end_checker", {"end_phrase": "\u200b "}),
    ],
)
@pytest.mark.parametrize("completion", ["", "A rose, a rose."])
def test_a_constraint_that_cannot_be_checked_is_the_rows_fault_whatever_the_completion(
    name: str, kwargs: dict[str, Any], completion: str
) -> None:
    arguments: Any = {"instruction_id_list": [name], "kwargs": [kwargs]}
    for reward in ("all", "fraction"):
        with pytest.raises(DataError) as error:
            ifeval(completion, PROBLEM, **arguments, reward=reward)
        assert error.value.found and error.value.expected and error.value.do
        with pytest.raises(DataError):
            ifeval_with_languages(completion, PROBLEM, **arguments, reward=reward)


def test_kwargs_of_another_length_are_the_rows_fault() -> None:
    with pytest.raises(DataError, match="2 entries in instruction_id_list and 1 in kwargs"):
        ifeval("x", PROBLEM, instruction_id_list=["punctuation:no_comma"] * 2, kwargs=[{}])


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"instruction_id_list": [], "kwargs": []},
        {"instruction_id_list": ["a"], "kwargs": [{}], "strict": True},
    ],
)
def test_arguments_without_a_constraint_or_with_unknown_keys_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(IFEVAL.arguments).validate_python(arguments, strict=True)


def test_null_keys_of_a_table_do_not_count() -> None:
    every_key = dict.fromkeys(key for kwargs in EVERY_CONSTRAINT.values() for key in kwargs)
    for name, kwargs in EVERY_CONSTRAINT.items():
        assert judge("x", (name, every_key | kwargs)) == judge("x", (name, kwargs))
    assert ifeval("x", PROBLEM, instruction_id_list=["punctuation:no_comma"], kwargs=[None]) == judge(
        "x", ("punctuation:no_comma", {})
    )


def test_the_reward_is_all_or_nothing_or_a_share_and_parts_say_which() -> None:
    constraints = [
        ("punctuation:no_comma", {}),
        ("keywords:existence", {"keywords": ["rose"]}),
        ("keywords:existence", {"keywords": ["oak"]}),
        ("startend:quotation", {}),
    ]
    parts = {
        "punctuation:no_comma": 1.0,
        "keywords:existence": 1.0,
        "keywords:existence#2": 0.0,
        "startend:quotation": 0.0,
    }
    assert judge("A rose.", *constraints) == Verdict(
        0.0, "breaks keywords:existence#2, startend:quotation", parts
    )
    assert judge("A rose.", *constraints, reward="fraction").reward == 0.5
    assert judge('"A rose under an oak."', *constraints).reward == 1.0


def test_only_a_language_that_decides_waits_for_a_worker() -> None:
    names = ["change_case:english_lowercase", "punctuation:no_comma"]
    arguments: Any = {"instruction_id_list": names, "kwargs": [{}, {}]}
    assert ifeval(ENGLISH, PROBLEM, **arguments) is None
    early = ifeval(f"{ENGLISH},", PROBLEM, **arguments)
    assert early == Verdict(0.0, "breaks punctuation:no_comma", {"punctuation:no_comma": 0.0})
    capital = ifeval("An A", PROBLEM, **arguments)
    assert capital == Verdict(0.0, f"breaks {names[0]}", {names[0]: 0.0, names[1]: 1.0})
    assert ifeval(f"{ENGLISH},", PROBLEM, **arguments, reward="fraction") is None
    assert ifeval_with_languages(f"{ENGLISH},", PROBLEM, **arguments, reward="fraction").reward == 0.5


def test_loose_forgives_a_first_line_a_last_line_and_asterisks_only() -> None:
    quoted = ("startend:quotation", {})
    for completion in ['Sure:\n"Roses."', '"Roses."\nDone.', 'Sure:\n"Roses."\nDone.', '**"Roses."**']:
        assert judge(completion, quoted).reward == 0.0
        assert judge(completion, quoted, loose=True).reward == 1.0
    for completion in ['Sure,\nhere:\n"Roses."', 'Sure: "Roses."', 'Sure:\n"Roses."\nDone.\nBye.']:
        assert judge(completion, quoted, loose=True).reward == 0.0


def test_what_is_said_in_thought_neither_helps_nor_harms() -> None:
    assert judge("<think>a, b</think>Roses", ("punctuation:no_comma", {})).reward == 1.0
    assert judge("<think>rose</think>Oak", ("keywords:existence", {"keywords": ["rose"]})).reward == 0.0


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("aA1.,!?*-_\"'[]<>{}()` \n\u200b\u0301éद्दीа，…P.S#"), max_size=60),
    st.booleans(),
)
def test_no_text_raises_and_every_verdict_is_repeatable(completion: str, loose: bool) -> None:
    first = judge(completion, *EVERY_CONSTRAINT.items(), loose=loose, reward="fraction")
    assert judge(completion, *EVERY_CONSTRAINT.items(), loose=loose, reward="fraction") == first
    assert len(first.parts) == 25
