"""Versions that share their rows: what is stored, what comes back and what differs."""

import itertools
import multiprocessing
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import DataError, HomeError, NotFoundError, RecipeError
from data_contracts.rows import RowKind
from infra.home import open_home
from infra.warehouse.collecting import collect, find_garbage
from infra.warehouse.committing import Origin
from infra.warehouse.comparing import compare
from infra.warehouse.manifests import join_rows, read_manifest, write_manifest
from infra.warehouse.warehouse import Warehouse
from tests.dataset.numbered_rows import find_all_damage, number_rows, publish_rows, read_rows
from tests.factories import fingerprint_rows


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(open_home(tmp_path / "home"))


_names = (f"numbers{count}" for count in itertools.count())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """One home for all examples of a property; each has names of its own."""
    return Warehouse(open_home(tmp_path_factory.mktemp("shared") / "home"))


@settings(max_examples=8, derandomize=True, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=25), min_size=1, max_size=4),
    st.integers(1, 9),
)
def test_every_version_reads_back_as_published(
    shared: Warehouse, versions: list[list[int]], batch: int
) -> None:
    warehouse, name = shared, next(_names)
    published = [publish_rows(warehouse, number_rows(*numbers), name, batch).version for numbers in versions]
    for version, numbers in zip(published, versions, strict=True):
        assert read_rows(warehouse, version) == number_rows(*numbers)
        assert version.fingerprint == fingerprint_rows(pa.Table.from_pylist(number_rows(*numbers)))
        assert warehouse.reader.prove(version).to_pylist() == number_rows(*numbers)
        assert pq.read_table(warehouse.reader.file(version)).to_pylist() == number_rows(*numbers)
    with duckdb.connect(warehouse.home.warehouse_path, read_only=True) as db:
        for version, numbers in zip(published, versions, strict=True):
            assert db.sql(f'from "{version}"').to_arrow_table().to_pylist() == number_rows(*numbers)


def test_only_new_rows_are_written(warehouse: Warehouse) -> None:
    first = publish_rows(warehouse, number_rows(*range(100)))
    second = publish_rows(warehouse, number_rows(*range(50), 1000, *range(51, 100)))
    assert (first.num_new_rows, second.num_new_rows) == (100, 1)
    segments = warehouse.catalog.segments(second.version.segments)
    assert sorted(segment.num_rows for segment in segments.values()) == [1, 100]


def test_rows_come_back_in_a_segment_of_another_order(warehouse: Warehouse) -> None:
    numbers = list(range(500))
    publish_rows(warehouse, number_rows(*numbers))
    random.Random(1).shuffle(numbers)
    shuffled = publish_rows(warehouse, number_rows(*numbers))
    assert shuffled.num_new_rows == 0
    assert read_rows(warehouse, shuffled.version) == number_rows(*numbers)


def test_rows_with_other_columns_are_other_rows(warehouse: Warehouse) -> None:
    publish_rows(warehouse, number_rows(1, 2))
    other = publish_rows(warehouse, [{"n": 1, "text": "row 1", "level": 3}])
    assert other.num_new_rows == 1
    assert read_rows(warehouse, other.version) == [{"n": 1, "text": "row 1", "level": 3}]


def test_a_selection_copies_no_row(warehouse: Warehouse) -> None:
    first = publish_rows(warehouse, number_rows(0, 1, 2, 3), "a").version
    second = publish_rows(warehouse, [{"n": 9, "text": "row 9", "level": 1}], "b").version
    files = set(warehouse.home.rows_dir.iterdir())
    made = warehouse.publish_selection(
        "mix", [first, second], np.array([0, 1, 0, 0]), np.array([3, 0, 3, 0]), Origin()
    )
    assert set(warehouse.home.rows_dir.iterdir()) == files
    assert read_rows(warehouse, made.version) == [
        {"n": 3, "text": "row 3", "level": None},
        {"n": 9, "text": "row 9", "level": 1},
        {"n": 3, "text": "row 3", "level": None},
        {"n": 0, "text": "row 0", "level": None},
    ]
    third = publish_rows(warehouse, [{"n": "x", "text": "y"}], "c").version
    with pytest.raises(DataError, match="the column n is int64 in one source and string in another"):
        warehouse.publish_selection("bad", [first, third], np.array([0, 1]), np.array([0, 0]), Origin())


def test_references_name_the_newest_a_number_a_tag_or_a_day(warehouse: Warehouse) -> None:
    versions = [publish_rows(warehouse, number_rows(n)).version for n in range(3)]
    warehouse.tag("numbers@2", "golden")
    day = "2000-01-01"
    named = [warehouse.get(reference).version for reference in ("numbers", "numbers@1", "numbers@golden")]
    assert named == [3, 1, 2]
    today = time.strftime("%Y-%m-%d", time.localtime(versions[2].created_at))
    assert warehouse.get(f"numbers@{today}") == versions[2]
    for future in ("2999-12-31", "2999-12-31T12:00"):
        with pytest.raises(RecipeError, match="means a time that has not come"):
            warehouse.get(f"numbers@{future}")
    with pytest.raises(NotFoundError, match="or a date since 20"):
        warehouse.get(f"numbers@{day}")


@settings(max_examples=12, derandomize=True, deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=20), st.lists(st.integers(0, 8), min_size=1, max_size=20)
)
def test_a_difference_turns_the_old_rows_into_the_new(
    shared: Warehouse, old: list[int], new: list[int]
) -> None:
    first, second = (
        publish_rows(shared, number_rows(*numbers), next(_names)).version for numbers in (old, new)
    )
    found = compare(shared.reader, first, second)
    removed = [*found.removed, *found.changed[:, 0]]
    added = [*found.added, *found.changed[:, 1]]
    assert Counter(old) - Counter(old[i] for i in removed) + Counter(new[i] for i in added) == Counter(new)
    assert len(removed) == (Counter(old) - Counter(new)).total()
    assert found.num_same == (Counter(old) & Counter(new)).total()


def test_a_row_in_the_place_of_another_is_a_change(warehouse: Warehouse) -> None:
    first = publish_rows(warehouse, number_rows(0, 1, 2, 3, 4, 5)).version
    second = publish_rows(warehouse, number_rows(0, 11, 2, 4, 5, 6)).version
    found = compare(warehouse.reader, first, second)
    assert found.changed.tolist() == [[1, 1]]
    assert (found.removed.tolist(), found.added.tolist(), found.num_same) == ([3], [5], 4)


def test_with_a_key_rows_of_one_key_are_a_change_wherever_they_stand(warehouse: Warehouse) -> None:
    first = publish_rows(warehouse, [{"id": "a", "x": 1}, {"id": "b", "x": 2}, {"id": "c", "x": 3}]).version
    second = publish_rows(warehouse, [{"id": "c", "x": 3}, {"id": "d", "x": 4}, {"id": "a", "x": 9}]).version
    found = compare(warehouse.reader, first, second, key="id")
    assert found.changed.tolist() == [[0, 2]]
    assert (found.removed.tolist(), found.added.tolist()) == ([1], [1])
    with pytest.raises(DataError, match="has no column key"):
        compare(warehouse.reader, first, second, key="key")


def test_collecting_keeps_what_is_needed_and_removes_the_rest(warehouse: Warehouse) -> None:
    first = publish_rows(warehouse, number_rows(*range(100))).version
    second = publish_rows(warehouse, number_rows(*range(99), 1000)).version
    other = publish_rows(warehouse, number_rows(7, 8, 9), "other").version
    dead = warehouse.home.rows_dir / ".999999999.1.tmp"
    dead.write_text("half a file")
    assert set(find_garbage(warehouse.home, warehouse.catalog, ()).files) == {dead}
    found = collect(warehouse.home, warehouse.catalog, [first, other])
    assert {*found.files} == {dead, other.path, other.path.with_suffix(".hashes")}
    assert [str(version) for version in warehouse.versions()] == ["numbers@2"]
    assert read_rows(warehouse, second) == number_rows(*range(99), 1000)
    assert find_all_damage(warehouse, every_row=True) == []
    again = publish_rows(warehouse, number_rows(7, 8, 9), "other").version
    assert read_rows(warehouse, again) == number_rows(7, 8, 9)


def test_rows_collected_during_a_publish_are_asked_for_again(warehouse: Warehouse) -> None:
    first = publish_rows(warehouse, number_rows(1, 2, 3)).version
    with warehouse.publisher("numbers", RowKind.raw) as publisher:
        publisher.add(pa.Table.from_pylist(number_rows(1, 2, 4)))
        collect(warehouse.home, warehouse.catalog, [first])
        with pytest.raises(DataError, match="were collected meanwhile"):
            publisher.publish(Origin())
    assert read_rows(warehouse, publish_rows(warehouse, number_rows(1, 2, 4)).version) == number_rows(1, 2, 4)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=40))
def test_a_manifest_is_its_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("manifest") / "m.parquet"
    segments = [f"s{index}" for index in range(4)]
    made = join_rows(
        segments, np.array([r[0] for r in rows], np.int64), np.array([r[1] for r in rows], np.int64)
    )
    write_manifest(made, path)
    for manifest in (made, read_manifest(path)):
        segment, position = manifest.positions()
        named = [(manifest.segments[s], int(p)) for s, p in zip(segment, position, strict=True)]
        assert named == [(segments[s], p) for s, p in rows]
        for index, name in enumerate(manifest.segments):
            counted = Counter(p for s, p in rows if segments[s] == name)
            assert manifest.counts(index, 7).tolist() == [counted[p] for p in range(7)]


def test_a_writer_says_whom_it_waits_for(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    other = Warehouse(warehouse.home, on_wait=told.append)
    monkeypatch.setattr("infra.warehouse.catalog._WAIT_SECONDS", 0.2)
    with warehouse.catalog.open(), pytest.raises(HomeError, match=r"was not free for 0 s: a dataset task"):
        other.versions()
    assert told == [f"a dataset task (process {os.getpid()}, for 0 s)"]


def _hold(path: Path, ready: Any, done: Any) -> None:
    with duckdb.connect(path):
        ready.set()
        done.wait(60)


def test_another_client_that_has_the_catalog_open_is_waited_for(warehouse: Warehouse) -> None:
    publish_rows(warehouse, number_rows(1))
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    child = context.Process(target=_hold, args=(warehouse.home.warehouse_path, ready, done))
    child.start()
    ready.wait(60)

    def told(who: str) -> None:
        done.set()
        assert who == "another DuckDB client that has the warehouse open"

    assert len(Warehouse(warehouse.home, on_wait=told).versions()) == 1
    child.join()


def test_equal_versions_of_two_names_may_stand_in_other_segments(warehouse: Warehouse) -> None:
    changed = number_rows(*range(90), *range(900, 910))
    first = [publish_rows(warehouse, rows, "one").version for rows in (number_rows(*range(100)), changed)][1]
    second = [publish_rows(warehouse, rows, "two").version for rows in (number_rows(*range(10)), changed)][1]
    assert first.fingerprint == second.fingerprint
    assert first.segments != second.segments
    assert find_all_damage(warehouse, every_row=True) == []
    assert read_rows(warehouse, first) == read_rows(warehouse, second) == changed


def test_a_version_that_builds_on_an_older_one_than_the_newest_is_refused(warehouse: Warehouse) -> None:
    publish_rows(warehouse, number_rows(1))
    with warehouse.publisher("numbers", RowKind.raw) as publisher:
        publisher.add(pa.Table.from_pylist(number_rows(1, 2)))
        publish_rows(warehouse, number_rows(1, 3))
        with pytest.raises(DataError, match=r"numbers@2 was made meanwhile"):
            publisher.publish(Origin(), after=1)
