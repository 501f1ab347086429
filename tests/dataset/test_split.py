"""Held-out splits: no group on both sides, exact shares, and an order that new rows leave alone."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import DataError
from data_contracts.mixtures import HeldOutSplit
from stages.split import held_out_rows

ROWS = st.lists(
    st.tuples(st.sampled_from("abcdefghij"), st.sampled_from(["x", "y", "z"])), min_size=2, max_size=80
)


def _held_out(groups: list[str], strata: list[str] | None = None, **fields: Any) -> list[bool]:
    split = HeldOutSplit(group_by="problem_id", stratify_by="source" if strata else None, **fields)
    return held_out_rows(split, pa.array(groups), pa.array(strata) if strata else None).tolist()


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


@given(rows=ROWS, fraction=st.floats(0.05, 0.95), seed=st.integers(0, 9), is_stratified=st.booleans())
def test_a_group_is_never_on_both_sides(
    rows: list[tuple[str, str]], fraction: float, seed: int, is_stratified: bool
) -> None:
    groups, strata = map(list, zip(*rows, strict=True))
    try:
        mask = _held_out(groups, strata if is_stratified else None, fraction=fraction, seed=seed)
    except DataError:
        return  # one side would be empty
    sides: dict[str, set[bool]] = defaultdict(set)
    for group, side in zip(groups, mask, strict=True):
        sides[group].add(side)
    assert all(len(side) == 1 for side in sides.values())
    assert 0 < sum(mask) < len(mask)


@given(count=st.integers(1, 59), seed=st.integers(0, 9))
def test_groups_of_one_row_are_held_out_to_the_row(count: int, seed: int) -> None:
    assert sum(_held_out(_names("p", 60), count=count, seed=seed)) == count


@pytest.mark.parametrize(("rows", "fraction", "held_out"), [(5, 0.5, 3), (100, 0.145, 15), (10, 0.24, 2)])
def test_a_fraction_is_a_count_of_rows_with_halves_rounded_up(
    rows: int, fraction: float, held_out: int
) -> None:
    assert sum(_held_out(_names("p", rows), fraction=fraction)) == held_out


def test_strata_share_the_target_by_largest_remainder() -> None:
    """10 of 50 + 30 + 15 rows: 5.26, 3.16 and 1.58 are 5, 3 and 1, and the one left belongs to .58."""
    strata = ["x"] * 50 + ["y"] * 30 + ["z"] * 15
    mask = _held_out(_names("p", 95), strata, count=10)
    assert Counter(s for s, out in zip(strata, mask, strict=True) if out) == {"x": 5, "y": 3, "z": 2}


def test_a_group_counts_where_most_of_its_rows_are() -> None:
    """`wide` has two rows in y and one in x, so x has 2 rows of its own and y 4: each gives half."""
    groups = ["x1", "x2", "wide", "wide", "wide", "y1"]
    strata = ["x", "x", "x", "y", "y", "y"]
    for seed in range(20):
        mask = _held_out(groups, strata, fraction=0.5, seed=seed)
        assert mask[0] != mask[1]
        # y's target is 2 rows: `wide` alone, or `y1` and nothing else, since 3 rows would overshoot 1 by 2.
        assert mask[2] != mask[5]


def test_equals_of_two_strata_count_for_the_alphabetically_first() -> None:
    """b's rows are in x and y alike, so x has 3 rows and y 1; of 2 held-out rows 1.5 and 0.5: x gets 2, y none."""
    for seed in range(10):
        mask = _held_out(["a", "b", "b", "c"], ["x", "y", "x", "y"], count=2, seed=seed)
        assert mask[3] is False


def test_a_giant_group_is_passed_over() -> None:
    """Holding out 90 % when 10 % are asked for would leave little to train on, whatever the seed."""
    groups = ["giant"] * 900 + _names("p", 100)
    assert all(sum(_held_out(groups, fraction=0.1, seed=seed)[:900]) == 0 for seed in range(30))
    assert sum(_held_out(groups, fraction=0.1)) == 100


@given(old=st.integers(20, 60), new=st.integers(1, 40), seed=st.integers(0, 9))
def test_new_groups_move_old_ones_across_in_one_direction_only(old: int, new: int, seed: int) -> None:
    before = np.array(_held_out(_names("p", old), fraction=0.3, seed=seed))
    after = np.array(_held_out(_names("p", old) + _names("q", new), fraction=0.3, seed=seed))[:old]
    assert not (before & ~after).any() or not (after & ~before).any()


def test_a_tenth_of_new_groups_moves_few_old_ones() -> None:
    """300 of 1,000 become 330 of 1,100. About 30 of those are new, so 300 old ones stay: 5 is a standard deviation."""
    before = np.array(_held_out(_names("p", 1000), fraction=0.3))
    after = np.array(_held_out(_names("p", 1000) + _names("q", 100), fraction=0.3))[:1000]
    assert (before != after).sum() < 20


def test_the_order_of_rows_does_not_matter() -> None:
    names = _names("p", 50) * 2
    forth = dict(zip(names, _held_out(names, fraction=0.3), strict=True))
    back = dict(zip(names[::-1], _held_out(names[::-1], fraction=0.3), strict=True))
    assert forth == back


def test_a_split_is_the_same_everywhere_and_for_ever() -> None:
    """Recorded once: a change would leak held-out rows of published versions into training."""
    mask = _held_out(_names("p", 12), count=4, seed=3)
    assert [place for place, out in enumerate(mask) if out] == [1, 3, 5, 11]


def test_another_seed_holds_out_other_rows() -> None:
    masks = {tuple(_held_out(_names("p", 40), count=8, seed=seed)) for seed in range(5)}
    assert len(masks) == 5


def test_chunks_and_large_text_columns_are_read_alike() -> None:
    names = _names("p", 30)
    split = HeldOutSplit(group_by="prompt", fraction=0.2)
    chunked = pa.chunked_array([names[:7], names[7:]], pa.large_string())
    assert held_out_rows(split, chunked).tolist() == _held_out(names, fraction=0.2)


@pytest.mark.parametrize(
    ("groups", "fields", "found"),
    [
        (["a", None, None], {"fraction": 0.5}, "2 of 3 rows have no problem_id"),
        (["a", "b"], {"fraction": 0.1}, "would hold out 0 of 2 rows"),
        (["a", "b"], {"count": 2}, "would hold out 2 of 2 rows"),
        (["a"] * 10, {"fraction": 0.2}, "holds out no row: 10 rows are in 1 groups"),
        (["a"] * 3, {"count": 2}, "holds out every row: 3 rows are in 1 groups"),
        ([], {"fraction": 0.5}, "would hold out 0 of 0 rows"),
    ],
)
def test_what_cannot_be_split_is_refused(groups: list[Any], fields: dict[str, Any], found: str) -> None:
    split = HeldOutSplit(group_by="problem_id", **fields)
    with pytest.raises(DataError, match=found):
        held_out_rows(split, pa.array(groups, pa.string()))


@pytest.mark.parametrize("fields", [{}, {"fraction": 0.1, "count": 3}])
def test_a_split_has_one_size(fields: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"The split has (neither|both) a fraction"):
        HeldOutSplit(group_by="problem_id", **fields)


@pytest.mark.parametrize("seed", range(20))
def test_texts_that_differ_only_in_case_or_spacing_are_one_group(seed: int) -> None:
    mask = _held_out(["What is 1+2? ", *_names("p", 8), "what  is 1+2?\n"], fraction=0.5, seed=seed)
    assert mask[0] == mask[-1]
