"""Languages are told apart without chance, and all of an answer counts."""

import json
from pathlib import Path
from typing import Any

import pytest
from langdetect.detector_factory import PROFILES_DIRECTORY

from stages.verifiers.ifeval_language import is_in_language
from tests.verifiers.test_ifeval import judge

SENTENCES: dict[str, list[str]] = json.loads(
    (Path(__file__).parents[1] / "benchmarks" / "ifeval_sentences.json").read_text(encoding="utf-8")
)
ENGLISH = "The garden was full of roses, and every morning my grandmother went outside to water all of them."
GERMAN = "Der Garten war voller Rosen, und jeden Morgen ging meine Großmutter hinaus, um sie alle zu gießen."


def met(completion: str, name: str, **given: Any) -> bool:
    return judge(completion, (name, given)).reward == 1.0


@pytest.mark.parametrize("language", SENTENCES)
def test_a_text_is_in_its_own_language_and_in_no_other(language: str) -> None:
    text = " ".join(SENTENCES[language])
    assert [other for other in SENTENCES if is_in_language(text, other)] == [language]


def test_the_accepted_languages_are_those_with_a_profile() -> None:
    profiles = [profile.name for profile in Path(PROFILES_DIRECTORY).iterdir()]
    assert len(profiles) == 55
    for code in profiles:
        judge("1", ("language:response_language", {"language": code}))


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        (GERMAN, True),
        (f"{GERMAN}\n\nOkay.", True),
        (ENGLISH, False),
        (f"{GERMAN}\n\n{GERMAN}\n\n{ENGLISH}", False),
        (f"{GERMAN}\n{GERMAN}\n{GERMAN}\n{ENGLISH}", False),
        (f"{' '.join([GERMAN] * 9)} {' '.join([ENGLISH] * 6)}", False),
        (f"<think>{ENGLISH}</think>{GERMAN}", True),
        (f"<think>{GERMAN}</think>{ENGLISH}", False),
        ("1234567890", False),
        ("!!! 5 ???", False),
        ("https://der.garten/war/voller/rosen 5", False),
        ("\u200b", False),
        ("ᚠᚢᚦᚨᚱᚲ", False),
    ],
)
def test_all_of_the_answer_is_in_the_language(completion: str, is_met: bool) -> None:
    assert met(completion, "language:response_language", language="de") == is_met


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        (ENGLISH.upper(), True),
        ("THE CAT SAT ON THE MAT AND LOOKED AT THE MOON", True),
        (ENGLISH, False),
        (GERMAN.upper().replace("ẞ", "SS"), False),
        (f"{ENGLISH.upper()} ok", False),
        ("123 456", False),
        ("НАД ГОРОДОМ ВЗОШЛА ЛУНА И ВСЕ УСНУЛИ", False),
        (f"{ENGLISH.upper()} \u00df", False),
        ("<think>ok</think>" + ENGLISH.upper(), True),
        (f"{ENGLISH.upper()}\n{ENGLISH.upper()}\n{GERMAN.upper()}", False),
    ],
)
def test_english_in_capitals_is_both(completion: str, is_met: bool) -> None:
    assert met(completion, "change_case:english_capital") == is_met


@pytest.mark.parametrize(
    ("completion", "is_met"),
    [
        (ENGLISH.lower(), True),
        (ENGLISH, False),
        (GERMAN.lower(), False),
        (f"{ENGLISH.lower()} 𝐀", False),
        (f"{ENGLISH.lower()} ǅ", False),
        (f"{ENGLISH.lower()} Ａ", False),
        ("123", False),
        ("над городом взошла луна и все уснули", False),
        (f"{ENGLISH.lower()}\n{ENGLISH.lower()}\n{GERMAN.lower()}", False),
        ("<think>OK</think>" + ENGLISH.lower(), True),
    ],
)
def test_english_in_lowercase_is_both(completion: str, is_met: bool) -> None:
    assert met(completion, "change_case:english_lowercase") == is_met


def test_english_does_not_hide_in_text_of_another_script() -> None:
    hindi = " ".join(SENTENCES["hi"] * 3)
    assert is_in_language(f"{hindi} (Garden, roses)", "hi")
    assert not is_in_language(f"{hindi}\n\n{ENGLISH}", "hi")


def test_a_quotation_in_another_language_leaves_an_answer_in_its_own() -> None:
    german = "\n".join(SENTENCES["de"])
    assert len(german) > 2 * len(ENGLISH)
    assert is_in_language(f"{ENGLISH}\n\n" + f"{german}\n" * 5, "de")
    assert not is_in_language(f"{ENGLISH}\n\n{german}\n{ENGLISH.upper()}", "de")


def test_a_prompt_that_must_be_repeated_may_be_in_its_own_language() -> None:
    constraints = [
        ("combination:repeat_prompt", {"prompt_to_repeat": ENGLISH}),
        ("language:response_language", {"language": "de"}),
    ]
    german = "\n".join(SENTENCES["de"])
    assert judge(f"{ENGLISH}\n\n{german}", *constraints).reward == 1.0
    assert judge(f"{ENGLISH}\n\n{german}", constraints[1]).reward == 0.0
    assert judge(f"{ENGLISH}\n\n{ENGLISH.upper()}", *constraints).reward == 0.0


def test_a_list_of_the_same_words_is_in_no_other_language() -> None:
    points = "\n".join(f"* point {number}" for number in range(30))
    assert is_in_language(f"{ENGLISH}\n\n{ENGLISH}\n{points}", "en")


def test_a_verdict_does_not_depend_on_what_was_read_before() -> None:
    short = ["ok", "no", "haha", "la la", "si"]
    first = {(text, code): is_in_language(text, code) for text in short for code in SENTENCES}
    is_in_language(ENGLISH * 50, "en")
    assert {(text, code): is_in_language(text, code) for code in SENTENCES for text in short} == first
