"""Every condition counts, and the verdict says which one broke."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import DataError
from stages.verifiers.format import follows_format

TAGS = ["<think>", "</think>", "<answer>", "</answer>"]


def test_all_conditions_together_are_right() -> None:
    verdict = follows_format(
        "<think>a</think><answer>b</answer>",
        "",
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
    assert follows_format(completion, "", contains=TAGS).reward == 0.0


def test_pieces_may_not_share_characters() -> None:
    assert follows_format("aba", "", contains=["ab", "ba"]).reward == 0.0
    assert follows_format("aaa", "", contains=["aa"]).reward == 0.0, "twice, overlapping"


def test_the_verdict_names_what_broke() -> None:
    verdict = follows_format("hello", "", starts_with="h", max_characters=4)
    assert verdict.reward == 0.0
    assert verdict.reason == "breaks max_characters"
    assert verdict.parts == {"starts_with": 1.0, "max_characters": 0.0}


@given(st.lists(st.text(alphabet="<>", max_size=4), min_size=5, max_size=5))
def test_four_different_tags_with_anything_harmless_between_are_right(between: list[str]) -> None:
    completion = between[0] + "".join(tag + text for tag, text in zip("abcd", between[1:], strict=True))
    assert follows_format(completion, "", contains=list("abcd")).reward == 1.0


def test_no_condition_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="no condition"):
        follows_format("anything", "")
