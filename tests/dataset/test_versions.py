"""Versions that share their rows: what is stored, what comes back, what differs, and what damage is found."""

import itertools
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
from infra.warehouse import committing
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.collecting import collect, find_garbage
from infra.warehouse.committing import Origin, Published
from infra.warehouse.comparing import compare
from infra.warehouse.integrity import find_damage
from infra.warehouse.manifests import join_rows, read_manifest, write_manifest
from infra.warehouse.warehouse import Warehouse
from tests.factories import fingerprint_rows

Rows = list[dict[str, Any]]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(open_home(tmp_path / "home"))


def _rows(*numbers: int) -> Rows:
    return [{"n": number, "text": f"row {number}"} for number in numbers]


def _publish(warehouse: Warehouse, rows: Rows, name: str = "numbers", batch: int = 4) -> Published:
    with warehouse.publisher(name, RowKind.raw) as publisher:
        for start in range(0, len(rows), batch):
            publisher.add(pa.Table.from_pylist(rows[start : start + batch]))
        return publisher.publish(Origin())


def _read(warehouse: Warehouse, version: DatasetVersion) -> Rows:
    return warehouse.reader.read(version).to_pylist()


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
    published = [_publish(warehouse, _rows(*numbers), name, batch).version for numbers in versions]
    for version, numbers in zip(published, versions, strict=True):
        assert _read(warehouse, version) == _rows(*numbers)
        assert version.fingerprint == fingerprint_rows(pa.Table.from_pylist(_rows(*numbers)))
        assert warehouse.reader.prove(version).to_pylist() == _rows(*numbers)
        assert pq.read_table(warehouse.reader.file(version)).to_pylist() == _rows(*numbers)
    with duckdb.connect(warehouse.home.warehouse_path, read_only=True) as db:
        for version, numbers in zip(published, versions, strict=True):
            assert db.sql(f'from "{version}"').to_arrow_table().to_pylist() == _rows(*numbers)


def test_only_new_rows_are_written(warehouse: Warehouse) -> None:
    first = _publish(warehouse, _rows(*range(100)))
    second = _publish(warehouse, _rows(*range(50), 1000, *range(51, 100)))
    assert (first.num_new_rows, second.num_new_rows) == (100, 1)
    segments = warehouse.catalog.segments(second.version.segments)
    assert sorted(segment.num_rows for segment in segments.values()) == [1, 100]


def test_rows_come_back_in_a_segment_of_another_order(warehouse: Warehouse) -> None:
    numbers = list(range(500))
    _publish(warehouse, _rows(*numbers))
    random.Random(1).shuffle(numbers)
    shuffled = _publish(warehouse, _rows(*numbers))
    assert shuffled.num_new_rows == 0
    assert _read(warehouse, shuffled.version) == _rows(*numbers)


def test_rows_with_other_columns_are_other_rows(warehouse: Warehouse) -> None:
    _publish(warehouse, _rows(1, 2))
    other = _publish(warehouse, [{"n": 1, "text": "row 1", "level": 3}])
    assert other.num_new_rows == 1
    assert _read(warehouse, other.version) == [{"n": 1, "text": "row 1", "level": 3}]


def test_a_selection_copies_no_row(warehouse: Warehouse) -> None:
    first = _publish(warehouse, _rows(0, 1, 2, 3), "a").version
    second = _publish(warehouse, [{"n": 9, "text": "row 9", "level": 1}], "b").version
    files = set(warehouse.home.rows_dir.iterdir())
    made = warehouse.publish_selection(
        "mix", [first, second], np.array([0, 1, 0, 0]), np.array([3, 0, 3, 0]), Origin()
    )
    assert set(warehouse.home.rows_dir.iterdir()) == files
    assert _read(warehouse, made.version) == [
        {"n": 3, "text": "row 3", "level": None},
        {"n": 9, "text": "row 9", "level": 1},
        {"n": 3, "text": "row 3", "level": None},
        {"n": 0, "text": "row 0", "level": None},
    ]
    third = _publish(warehouse, [{"n": "x", "text": "y"}], "c").version
    with pytest.raises(DataError, match="the column n is int64 in one source and string in another"):
        warehouse.publish_selection("bad", [first, third], np.array([0, 1]), np.array([0, 0]), Origin())


def test_references_name_the_newest_a_number_a_tag_or_a_day(warehouse: Warehouse) -> None:
    versions = [_publish(warehouse, _rows(n)).version for n in range(3)]
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
    first, second = (_publish(shared, _rows(*numbers), next(_names)).version for numbers in (old, new))
    found = compare(shared.reader, first, second)
    removed = [*found.removed, *found.changed[:, 0]]
    added = [*found.added, *found.changed[:, 1]]
    assert Counter(old) - Counter(old[i] for i in removed) + Counter(new[i] for i in added) == Counter(new)
    assert len(removed) == (Counter(old) - Counter(new)).total()
    assert found.num_same == (Counter(old) & Counter(new)).total()


def test_a_row_in_the_place_of_another_is_a_change(warehouse: Warehouse) -> None:
    first = _publish(warehouse, _rows(0, 1, 2, 3, 4, 5)).version
    second = _publish(warehouse, _rows(0, 11, 2, 4, 5, 6)).version
    found = compare(warehouse.reader, first, second)
    assert found.changed.tolist() == [[1, 1]]
    assert (found.removed.tolist(), found.added.tolist(), found.num_same) == ([3], [5], 4)


def test_with_a_key_rows_of_one_key_are_a_change_wherever_they_stand(warehouse: Warehouse) -> None:
    first = _publish(warehouse, [{"id": "a", "x": 1}, {"id": "b", "x": 2}, {"id": "c", "x": 3}]).version
    second = _publish(warehouse, [{"id": "c", "x": 3}, {"id": "d", "x": 4}, {"id": "a", "x": 9}]).version
    found = compare(warehouse.reader, first, second, key="id")
    assert found.changed.tolist() == [[0, 2]]
    assert (found.removed.tolist(), found.added.tolist()) == ([1], [1])
    with pytest.raises(DataError, match="has no column key"):
        compare(warehouse.reader, first, second, key="key")


def _damage(warehouse: Warehouse, every_row: bool = False) -> list[tuple[str, list[str]]]:
    versions = warehouse.versions()
    found = find_damage(warehouse.home, warehouse.catalog, versions, every_row, lambda done, total: None)
    return [(damage.found, [str(version) for version in damage.versions]) for damage in found]


@pytest.mark.parametrize("place", [4, 200, -20])
@pytest.mark.parametrize("kind", ["parquet", "hashes", "manifest"])
def test_a_flipped_byte_is_found_by_verify_and_on_read(warehouse: Warehouse, kind: str, place: int) -> None:
    _publish(warehouse, _rows(*range(100)))
    second = _publish(warehouse, _rows(*range(50), 1000, *range(51, 100))).version
    assert _damage(warehouse, every_row=True) == []
    path = {
        "parquet": warehouse.home.rows_dir / f"{second.segments[0]}.parquet",
        "hashes": warehouse.home.rows_dir / f"{second.segments[0]}.hashes",
        "manifest": warehouse.home.manifests_dir / f"{second.manifest_sha256}.parquet",
    }[kind]
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    affected = ["numbers@2"] if kind == "manifest" else ["numbers@1", "numbers@2"]
    assert _damage(warehouse) == [(f"{path} was changed.", affected)]
    with pytest.raises(DataError, match="was changed"):
        (warehouse.reader.hashes if kind == "hashes" else warehouse.reader.read)(second)


@pytest.mark.parametrize("suffix", [".parquet", ".hashes"])
def test_a_deleted_file_is_found_by_verify_and_on_read(warehouse: Warehouse, suffix: str) -> None:
    version = _publish(warehouse, _rows(1, 2, 3)).version
    path = version.path.with_suffix(suffix)
    path.unlink()
    assert _damage(warehouse) == [(f"{path} is missing.", ["numbers@1"])]
    with pytest.raises(DataError, match="is missing"):
        (warehouse.reader.read if suffix == ".parquet" else warehouse.reader.hashes)(version)


def _cut(content: bytes) -> Iterator[bytes]:
    return (content[: int(len(content) * share)] for share in (0.001, 0.2, 0.3, 0.4, 0.6, 0.8, 0.99))


def _flip(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content) - 50_000, len(content) // 8):
        flipped = bytearray(content)
        for place in range(start, start + 50_000, 7):
            flipped[place] ^= 0x41
        yield bytes(flipped)


@pytest.mark.parametrize("damage", [_cut, _flip])
def test_a_damaged_catalog_is_named_unless_nothing_is_lost(
    warehouse: Warehouse, damage: Callable[[bytes], Iterator[bytes]]
) -> None:
    for number in range(20):
        _publish(warehouse, _rows(number))
    path, before = warehouse.home.warehouse_path, warehouse.versions()
    refused = 0
    for content in damage(path.read_bytes()):
        path.write_bytes(content)
        try:
            assert _damage(warehouse) == []
            assert warehouse.versions() == before
        except HomeError:
            refused += 1
    assert refused >= 2


def test_collecting_keeps_what_is_needed_and_removes_the_rest(warehouse: Warehouse) -> None:
    first = _publish(warehouse, _rows(*range(100))).version
    second = _publish(warehouse, _rows(*range(99), 1000)).version
    other = _publish(warehouse, _rows(7, 8, 9), "other").version
    dead = warehouse.home.rows_dir / ".999999999.1.tmp"
    dead.write_text("half a file")
    assert set(find_garbage(warehouse.home, warehouse.catalog, ()).files) == {dead}
    found = collect(warehouse.home, warehouse.catalog, [first, other])
    assert {*found.files} == {dead, other.path, other.path.with_suffix(".hashes")}
    assert [str(version) for version in warehouse.versions()] == ["numbers@2"]
    assert _read(warehouse, second) == _rows(*range(99), 1000)
    assert _damage(warehouse, every_row=True) == []
    again = _publish(warehouse, _rows(7, 8, 9), "other").version
    assert _read(warehouse, again) == _rows(7, 8, 9)


def test_rows_collected_during_a_publish_are_asked_for_again(warehouse: Warehouse) -> None:
    first = _publish(warehouse, _rows(1, 2, 3)).version
    with warehouse.publisher("numbers", RowKind.raw) as publisher:
        publisher.add(pa.Table.from_pylist(_rows(1, 2, 4)))
        collect(warehouse.home, warehouse.catalog, [first])
        with pytest.raises(DataError, match="were collected meanwhile"):
            publisher.publish(Origin())
    assert _read(warehouse, _publish(warehouse, _rows(1, 2, 4)).version) == _rows(1, 2, 4)


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


KILL_POINTS = ("SegmentWriter.publish", "synced_sha256", "Path.replace", "write_manifest", "_create_view")


@pytest.mark.parametrize("nth", range(1, 5))
def test_a_kill_at_any_write_leaves_the_old_state_and_a_rerun_converges(home_path: Path, nth: int) -> None:
    """The n-th time a file gets its name or a statement changes the catalog, SIGKILL comes instead."""
    warehouse = Warehouse(open_home(home_path))
    _publish(warehouse, _rows(*range(20)))
    for point in KILL_POINTS:
        killed = _run_killed(home_path, point, nth)
        assert _damage(Warehouse(open_home(home_path)), every_row=True) == []
        if not killed:
            continue
        names = [str(version) for version in warehouse.versions()]
        assert names in (["numbers@1"], ["numbers@1", "numbers@2"])
        assert _read(warehouse, warehouse.get("numbers@1")) == _rows(*range(20))
    made = _publish(warehouse, _rows(*range(10), 77, *range(10, 20)))
    assert str(made.version) == "numbers@2"
    assert _read(warehouse, made.version) == _rows(*range(10), 77, *range(10, 20))
    collect(warehouse.home, warehouse.catalog, ())
    left = [path for path in warehouse.home.rows_dir.iterdir() if path.name.startswith(".")]
    assert left == []


@pytest.fixture
def home_path(tmp_path: Path) -> Path:
    return tmp_path / "home"


def _run_killed(home_path: Path, point: str, nth: int) -> bool:
    child = multiprocessing.get_context("fork").Process(target=_publish_and_die, args=(home_path, point, nth))
    child.start()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode == -signal.SIGKILL


def _publish_and_die(home_path: Path, point: str, nth: int) -> None:
    owner: Any = committing
    *parents, name = point.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original, calls = getattr(owner, name), iter(range(1, 1000))

    def dying(*arguments: Any, **options: Any) -> Any:
        if next(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, dying)
    _publish(Warehouse(open_home(home_path)), _rows(*range(10), 77, *range(10, 20)))
    os._exit(0)


def test_a_kill_in_the_transaction_leaves_no_version(home_path: Path) -> None:
    warehouse = Warehouse(open_home(home_path))
    _publish(warehouse, _rows(1, 2))
    child = multiprocessing.get_context("fork").Process(target=_die_in_the_transaction, args=(home_path,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert [str(version) for version in warehouse.versions()] == ["numbers@1"]


def _die_in_the_transaction(home_path: Path) -> None:
    warehouse = Warehouse(open_home(home_path))
    with warehouse.catalog.change() as db:
        db.execute("update versions set version = 9")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_writer_says_whom_it_waits_for(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    other = Warehouse(warehouse.home, on_wait=told.append)
    monkeypatch.setattr("infra.warehouse.catalog._WAIT_SECONDS", 0.2)
    with warehouse.catalog.open(), pytest.raises(HomeError, match=r"was not free for 0 s: a dataset task"):
        other.versions()
    assert told == [f"a dataset task (process {os.getpid()})"]


def _hold(path: Path, ready: Any, done: Any) -> None:
    with duckdb.connect(path):
        ready.set()
        done.wait(60)


def test_another_client_that_has_the_catalog_open_is_waited_for(warehouse: Warehouse) -> None:
    _publish(warehouse, _rows(1))
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
    changed = _rows(*range(90), *range(900, 910))
    first = [_publish(warehouse, rows, "one").version for rows in (_rows(*range(100)), changed)][1]
    second = [_publish(warehouse, rows, "two").version for rows in (_rows(*range(10)), changed)][1]
    assert first.fingerprint == second.fingerprint
    assert first.segments != second.segments
    assert _damage(warehouse, every_row=True) == []
    assert _read(warehouse, first) == _read(warehouse, second) == changed


@pytest.mark.parametrize("suffix", [".parquet", ".hashes", "manifest"])
@pytest.mark.parametrize("name", ["numbers", "other"])
def test_publishing_the_rows_again_repairs_what_was_damaged(
    warehouse: Warehouse, suffix: str, name: str
) -> None:
    _publish(warehouse, _rows(*range(100)))
    version = _publish(warehouse, _rows(*range(50), 1000, *range(51, 100))).version
    path = warehouse.home.rows_dir / f"{version.segments[0]}{suffix}"
    if suffix == "manifest":
        path = warehouse.home.manifests_dir / f"{version.manifest_sha256}.parquet"
    path.write_bytes(path.read_bytes()[:-3])
    assert _damage(warehouse) != []
    for rows in (_rows(*range(100)), _rows(*range(50), 1000, *range(51, 100))):
        assert str(_publish(warehouse, rows, name).version).startswith(name)
    if name == "numbers":
        assert _damage(warehouse, every_row=True) == []
    assert _read(warehouse, warehouse.get(name)) == _rows(*range(50), 1000, *range(51, 100))
    assert len(warehouse.versions(name)) == 2


def test_a_missing_catalog_is_named_and_nothing_is_collected(warehouse: Warehouse) -> None:
    _publish(warehouse, _rows(1, 2, 3))
    files = sorted(warehouse.home.rows_dir.iterdir())
    for content in (None, b""):
        warehouse.home.warehouse_path.unlink(missing_ok=True)
        if content is not None:
            warehouse.home.warehouse_path.write_bytes(content)
        with pytest.raises(HomeError, match="is missing or empty"):
            collect(warehouse.home, warehouse.catalog, ())
    assert sorted(warehouse.home.rows_dir.iterdir()) == files


def test_a_version_collected_meanwhile_is_no_damage_and_says_so_to_its_readers(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _publish(warehouse, _rows(1, 2)).version
    _publish(warehouse, _rows(3, 4))
    versions = warehouse.versions()
    collect(warehouse.home, warehouse.catalog, [first])
    assert find_damage(warehouse.home, warehouse.catalog, versions, True, lambda *_: None) == []
    with pytest.raises(DataError, match="have been collected"):
        warehouse.reader.read(first)
    with pytest.raises(DataError, match="have been collected"):
        warehouse.publish_selection("mix", [first], np.array([0]), np.array([0]), Origin())


def test_a_version_that_builds_on_an_older_one_than_the_newest_is_refused(warehouse: Warehouse) -> None:
    _publish(warehouse, _rows(1))
    with warehouse.publisher("numbers", RowKind.raw) as publisher:
        publisher.add(pa.Table.from_pylist(_rows(1, 2)))
        _publish(warehouse, _rows(1, 3))
        with pytest.raises(DataError, match=r"numbers@2 was made meanwhile"):
            publisher.publish(Origin(), after=1)
