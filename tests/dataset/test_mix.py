"""Mixes: exact counts, draws that never change, and an order in which every prefix is fair."""

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data_contracts.errors import DataError
from data_contracts.mixtures import Mixture, MixtureSource
from stages.draw import Hashes, mix_bits
from stages.mix import Mix, mix, source_counts


def _hashes(*rows: str) -> Hashes:
    digests = [hashlib.blake2b(row.encode(), digest_size=16).digest() for row in rows]
    return np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)


def _rows(name: str, count: int) -> Hashes:
    return _hashes(*(f"{name} {number}" for number in range(count)))


def _mixture(weights: dict[str, Any], **fields: Any) -> Mixture:
    """Sources by name, each a weight or the fields of a source."""
    sources = [
        MixtureSource(dataset=f"{name}@1", **(given if isinstance(given, dict) else {"weight": given}))
        for name, given in weights.items()
    ]
    return Mixture(sources=tuple(sources), **fields)


def _counts(sizes: dict[str, int], weights: dict[str, Any], **fields: Any) -> list[int]:
    return source_counts(_mixture(weights, **fields), {f"{name}@1": size for name, size in sizes.items()})


def _taken(mixed: Mix, source: int) -> Counter[int]:
    return Counter(mixed.position[mixed.source == source].tolist())


def test_splitmix64_gives_the_numbers_of_its_authors() -> None:
    """The first outputs of the reference implementation (Vigna's splitmix64.c) from state 1234567."""
    golden, outputs = 0x9E3779B97F4A7C15, [6457827717110365317, 3203168211198807973, 9817491932198370423]
    states = [(1234567 + step * golden) % 2**64 for step in range(3)]
    assert mix_bits(np.array(states, np.uint64)).tolist() == outputs


def test_a_mix_is_the_same_everywhere_and_for_ever() -> None:
    """Recorded once: a change of these rows would change every published mix."""
    mixed = mix(_mixture({"a": 0.5, "b": 1.5}, seed=7), {"a@1": _rows("a", 6), "b@1": _rows("b", 4)})
    assert mixed.source.tolist() == [1, 0, 1, 1, 0, 1, 1, 0, 1]
    assert mixed.position.tolist() == [1, 1, 3, 2, 0, 0, 2, 2, 0]


@pytest.mark.parametrize(
    ("size", "weight", "count"),
    [(10, 0.5, 5), (5, 0.5, 3), (10, 0.24, 2), (10, 0.25, 3), (100, 0.145, 15), (10, 2.5, 25), (3, 1.5, 5)],
)
def test_a_weight_multiplies_rows_and_halves_round_up(size: int, weight: float, count: int) -> None:
    """0.145 of 100 is 14.5 as written, though the nearest float lies below."""
    assert _counts({"a": size}, {"a": weight}) == [count]


def test_shares_of_a_total_go_to_the_largest_remainders() -> None:
    """Of 100: 16.67, 33.33 and 50 are 16, 33 and 50, and the one left belongs to .67. Of 10 in thirds: the first."""
    sizes = {"a": 100, "b": 100, "c": 100}
    assert _counts(sizes, {"a": 1, "b": 2, "c": 3}, total=100) == [17, 33, 50]
    assert _counts(sizes, {"a": 1, "b": 1, "c": 1}, total=10) == [4, 3, 3]


def test_what_a_cap_takes_from_a_share_goes_to_the_others_in_proportion() -> None:
    """Of 90, a would give 60; capped at 30 it leaves 60 to b and c, in halves."""
    sizes = {"a": 100, "b": 100, "c": 100}
    assert _counts(sizes, {"a": {"weight": 4, "cap": 30}, "b": 1, "c": 1}, total=90) == [30, 30, 30]


def test_a_cap_bounds_a_multiplied_source() -> None:
    assert _counts({"a": 10, "b": 10}, {"a": {"weight": 3, "cap": 12}, "b": {"cap": 50}}) == [12, 10]


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    weights=st.lists(st.sampled_from([0.1, 0.3, 0.5, 1.0, 1.7, 3.0]), min_size=4, max_size=4),
    seed=st.integers(0, 5),
)
def test_every_pass_holds_each_row_once_and_every_prefix_is_fair(
    sizes: list[int], weights: list[float], seed: int
) -> None:
    names = [f"s{place}" for place in range(len(sizes))]
    mixture = _mixture(dict(zip(names, weights, strict=False)) | {"always": 1}, seed=seed)
    rows = {f"{name}@1": _rows(name, size) for name, size in zip(names, sizes, strict=True)}
    mixed = mix(mixture, rows | {"always@1": _rows("always", 5)})
    total = len(mixed.source)
    assert total == sum(mixed.counts)
    for source, (count, size) in enumerate(zip(mixed.counts, [*sizes, 5], strict=True)):
        of_source = mixed.source == source
        positions = mixed.position[of_source].tolist()
        for start in range(0, count, size):
            one_pass = positions[start : start + size]
            assert len(set(one_pass)) == len(one_pass) == min(size, count - start)
        ahead = np.cumsum(of_source) - np.arange(1, total + 1) * count / total
        # At any time a source is less than a row off; a prefix is off by that many rows in all.
        assert np.abs(ahead).max() < 1 + len(mixed.counts) * count / total


def test_the_order_inside_a_source_is_a_shuffle() -> None:
    """Spearman's correlation of 10,000 shuffled places has a standard deviation of 0.01."""
    mixed = mix(_mixture({"a": 1}), {"a@1": _rows("a", 10_000)})
    assert abs(np.corrcoef(mixed.position, np.arange(10_000))[0, 1]) < 0.04


@given(
    low=st.floats(0.1, 3.0),
    high=st.floats(0.1, 3.0),
    repeated=st.lists(st.sampled_from("abcdefg"), min_size=5),
)
def test_a_larger_weight_keeps_every_row_of_a_smaller_one(
    low: float, high: float, repeated: list[str]
) -> None:
    low, high = min(low, high), max(low, high)
    rows = {"a@1": _hashes(*repeated)}
    few, many = (mix(_mixture({"a": weight}), rows) for weight in (low, high))
    assert _taken(few, 0) <= _taken(many, 0)


def test_a_new_version_with_more_rows_keeps_the_choice_among_the_old() -> None:
    """With 10 % more rows, 30 % still are 300 of every 1,000 by hash: about 273 of the 300 old ones remain or more."""
    old = set(_taken(mix(_mixture({"a": 0.3}), {"a@1": _rows("a", 1000)}), 0))
    grown = Mixture(sources=(MixtureSource(dataset="a@2", weight=0.3),))
    new = {row for row in _taken(mix(grown, {"a@2": _rows("a", 1100)}), 0) if row < 1000}
    assert old <= new or new <= old
    assert len(old ^ new) < 40


def test_the_choice_does_not_depend_on_where_a_row_stands() -> None:
    names = [f"row {number}" for number in range(50)]
    backwards = names[::-1]
    draw = _mixture({"a": 0.4}, seed=3)
    forth = {names[place] for place in _taken(mix(draw, {"a@1": _hashes(*names)}), 0)}
    back = {backwards[place] for place in _taken(mix(draw, {"a@1": _hashes(*backwards)}), 0)}
    assert forth == back


def test_equal_rows_are_drawn_one_by_one() -> None:
    """Of 1,000 copies half are taken, as of 1,000 different rows, and equal rows do not stand together."""
    rows = {"a@1": _hashes(*["same"] * 1000, *(f"other {number}" for number in range(1000)))}
    half = mix(_mixture({"a": 0.5}), rows)
    copies = half.position < 1000
    assert len(set(half.position.tolist())) == 1000
    assert 430 < copies.sum() < 570
    assert 430 < np.abs(np.diff(copies.astype(int))).sum() < 570


def test_a_source_seed_changes_its_rows_only() -> None:
    rows = {"a@1": _rows("a", 100), "b@1": _rows("b", 100)}
    before = mix(_mixture({"a": 0.5, "b": 0.5}), rows)
    after = mix(_mixture({"a": {"weight": 0.5, "seed": 9}, "b": 0.5}), rows)
    assert _taken(before, 0) != _taken(after, 0)
    assert _taken(before, 1) == _taken(after, 1)
    assert before.source.tolist() == after.source.tolist()


def test_two_sources_with_the_same_rows_choose_independently() -> None:
    rows = _rows("a", 1000)
    mixed = mix(_mixture({"a": 0.5, "b": 0.5}), {"a@1": rows, "b@1": rows})
    assert 190 < len(_taken(mixed, 0).keys() & _taken(mixed, 1).keys()) < 310


def test_a_source_of_weight_zero_gives_nothing() -> None:
    mixed = mix(_mixture({"a": 0, "b": 1}), {"a@1": _rows("a", 3), "b@1": _rows("b", 3)})
    assert mixed.counts == (0, 3)
    assert sorted(mixed.position.tolist()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("weights", "fields", "found"),
    [
        ({}, {}, "has no sources"),
        ({"a": 0, "b": 0}, {}, "No source of the mix has a weight above 0"),
        ({"a": -1}, {}, "the weight a@1: -1"),
        ({"a": {"cap": 0}}, {}, "the cap a@1: 0"),
        ({"a": 1}, {"total": 0}, "the total 0"),
    ],
)
def test_a_mixture_that_no_rows_could_satisfy_is_refused(
    weights: dict[str, Any], fields: dict[str, Any], found: str
) -> None:
    with pytest.raises(DataError, match=found):
        _mixture(weights, **fields)


def test_a_dataset_named_twice_is_refused() -> None:
    with pytest.raises(DataError, match="names a@1 more than once"):
        Mixture(sources=(MixtureSource(dataset="a@1"), MixtureSource(dataset="a@1")))


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_is_a_number(weight: float) -> None:
    with pytest.raises(ValidationError):
        MixtureSource(dataset="a@1", weight=weight)


@pytest.mark.parametrize(
    ("sizes", "weights", "fields", "found"),
    [
        ({"a": 3}, {"a": 1, "b": 1}, {}, "weighs b@1, which is not among"),
        ({"a": 3, "b": 3}, {"a": 1}, {}, "no weight for b@1"),
        ({"a": 0, "b": 3}, {"a": 1, "b": 1}, {}, "a@1 has no rows"),
        ({"a": 3}, {"a": 0.1}, {}, "all counts round to 0"),
        ({"a": 3, "b": 9}, {"a": 1, "b": 1}, {"total": 10}, "a@1 has 3 rows and would give 5"),
        ({"a": 9, "b": 9}, {"a": {"cap": 2}, "b": {"cap": 3}}, {"total": 6}, "let 5 rows through"),
    ],
)
def test_what_the_datasets_cannot_give_is_refused(
    sizes: dict[str, int], weights: dict[str, Any], fields: dict[str, Any], found: str
) -> None:
    with pytest.raises(DataError, match=found):
        _counts(sizes, weights, **fields)


def test_a_total_may_repeat_rows_where_that_is_allowed() -> None:
    assert _counts({"a": 3, "b": 9}, {"a": 1, "b": 1}, total=10, upsample=True) == [5, 5]


@settings(max_examples=50)
@given(
    weights=st.lists(st.floats(0.001, 100), min_size=1, max_size=5),
    caps=st.lists(st.none() | st.integers(1, 40), min_size=5, max_size=5),
    total=st.integers(1, 200),
)
def test_counts_reach_the_total_and_no_cap_is_passed(
    weights: list[float], caps: list[int | None], total: int
) -> None:
    named = {f"s{n}": {"weight": w, "cap": caps[n]} for n, w in enumerate(weights)}
    limits = caps[: len(weights)]
    possible = None in limits or sum(cap or 0 for cap in limits) >= total
    try:
        counts = _counts(dict.fromkeys(named, 10), named, total=total, upsample=True)
    except DataError:
        assert not possible
        return
    assert possible and sum(counts) == total
    assert all(cap is None or count <= cap for count, cap in zip(counts, limits, strict=True))
