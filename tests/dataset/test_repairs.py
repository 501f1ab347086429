"""What damage costs and what it does not: rows that stand somewhere, or are given again, come back."""

import gc
import json
import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import DataError, NotFoundError
from data_contracts.rows import RowKind
from infra import home as home_module
from infra.home import open_home, write_atomically
from infra.warehouse import reading
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.collecting import collect
from infra.warehouse.committing import Origin, Published
from infra.warehouse.integrity import find_damage
from infra.warehouse.segments import hashes_path, rows_path
from infra.warehouse.warehouse import Warehouse

FIRST, BETTER = list(range(20)), list(range(25))
"""An import, and the rows of that and of its corrected rest."""


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(open_home(tmp_path / "home"))


def _publish(warehouse: Warehouse, numbers: Iterable[int], name: str = "c") -> Published:
    with warehouse.publisher(name, RowKind.raw) as publisher:
        publisher.add(pa.Table.from_pylist([{"n": n, "text": f"row {n}"} for n in numbers]))
        return publisher.publish(Origin())


def _select(warehouse: Warehouse, name: str, source: DatasetVersion, rows: list[int]) -> Published:
    return warehouse.publish_selection(
        name, [source], np.zeros(len(rows), np.int64), np.array(rows), Origin()
    )


def _numbers(warehouse: Warehouse, reference: str) -> list[int]:
    return warehouse.reader.prove(warehouse.get(reference)).column("n").to_pylist()


def _damaged_versions(warehouse: Warehouse) -> set[str]:
    found = find_damage(warehouse.home, warehouse.catalog, warehouse.versions(), True, lambda *_: None)
    return {str(version) for damage in found for version in damage.versions}


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _flip_rows(warehouse: Warehouse, segment: str) -> None:
    _flip(rows_path(warehouse.home.rows_dir, segment))


def _flip_hashes(warehouse: Warehouse, segment: str) -> None:
    _flip(hashes_path(warehouse.home.rows_dir, segment))


def _remove(warehouse: Warehouse, segment: str) -> None:
    rows_path(warehouse.home.rows_dir, segment).unlink()
    hashes_path(warehouse.home.rows_dir, segment).unlink()


Damaging = Callable[[Warehouse, str], None]


@pytest.mark.parametrize("damage", [_flip_rows, _flip_hashes])
def test_rows_given_in_another_order_repair_every_version_that_shares_them(
    warehouse: Warehouse, damage: Damaging
) -> None:
    first = _publish(warehouse, FIRST).version
    second = _publish(warehouse, BETTER).version
    _select(warehouse, "train", second, [24, 3, 3, 7])
    damage(warehouse, first.fingerprint)
    assert _damaged_versions(warehouse) == {"c@1", "c@2", "train@1"}
    superset = list(range(30))
    random.Random(1).shuffle(superset)
    assert _publish(warehouse, superset).is_new
    assert _damaged_versions(warehouse) == set()
    for reference, numbers in (("c@1", FIRST), ("c@2", BETTER), ("train", [24, 3, 3, 7]), ("c@3", superset)):
        assert _numbers(warehouse, reference) == numbers
        version = warehouse.get(reference)
        with duckdb.connect(warehouse.home.warehouse_path, read_only=True) as db:
            view = db.sql(f'select n from "{version}"').fetchall()
        assert view == [(n,) for n in numbers]


def test_a_segment_of_which_nothing_is_left_is_told_by_its_source(warehouse: Warehouse) -> None:
    first = _publish(warehouse, FIRST).version
    _select(warehouse, "train", first, [5, 6])
    _remove(warehouse, first.fingerprint)
    _publish(warehouse, reversed(FIRST))
    assert _damaged_versions(warehouse) == {"c@1", "train@1"}
    assert not _publish(warehouse, FIRST).is_new
    assert _damaged_versions(warehouse) == set()
    assert (_numbers(warehouse, "c@1"), _numbers(warehouse, "train@1")) == (FIRST, [5, 6])


def test_rows_are_found_in_other_datasets_too_and_a_whole_file_is_whole_again(warehouse: Warehouse) -> None:
    first = _publish(warehouse, FIRST).version
    _publish(warehouse, reversed(FIRST), "other")
    _flip_rows(warehouse, first.fingerprint)
    _publish(warehouse, [3, 1])
    assert _damaged_versions(warehouse) == set()
    assert warehouse.get("c@1").is_whole_segment
    assert pq.read_table(first.path).column("n").to_pylist() == FIRST


def test_a_version_comes_back_when_the_rows_it_needs_do(warehouse: Warehouse) -> None:
    first = _publish(warehouse, FIRST).version
    _select(warehouse, "front", first, [2, 0, 2])
    _select(warehouse, "back", first, [0, 19])
    _flip_rows(warehouse, first.fingerprint)
    _publish(warehouse, [0, 1, 2, 100])
    assert _damaged_versions(warehouse) == {"c@1", "back@1"}
    assert _numbers(warehouse, "front@1") == [2, 0, 2]


@settings(max_examples=10, derandomize=True, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=4),
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.sampled_from([_flip_rows, _flip_hashes]),
    st.randoms(use_true_random=False),
)
def test_exactly_those_versions_stay_damaged_whose_rows_are_nowhere(
    tmp_path_factory: pytest.TempPathFactory,
    versions: list[list[int]],
    again: list[int],
    damage: Damaging,
    choice: random.Random,
) -> None:
    warehouse = Warehouse(open_home(tmp_path_factory.mktemp("repairs") / "home"))
    published = {str(_publish(warehouse, numbers).version): numbers for numbers in versions}
    segments = sorted({name for version in warehouse.versions() for name in version.segments})
    hit = choice.choice(segments)
    rows_left = [rows_path(warehouse.home.rows_dir, name) for name in segments if name != hit]
    there = {n for path in rows_left for n in pq.read_table(path).column("n").to_pylist()} | {*again}
    if damage is _flip_hashes:
        there = set(range(10))
    damage(warehouse, hit)
    _publish(warehouse, again)
    lost = {name for name, numbers in published.items() if not {*numbers} <= there}
    assert _damaged_versions(warehouse) == lost
    for name in published.keys() - lost:
        assert _numbers(warehouse, name) == published[name]


def test_nothing_is_made_of_damaged_rows(warehouse: Warehouse) -> None:
    first = _publish(warehouse, FIRST).version
    _select(warehouse, "train", first, [1, 2])
    _flip_rows(warehouse, first.fingerprint)
    for name in ("train", "new"):
        with pytest.raises(DataError, match="was changed"):
            _select(warehouse, name, first, [1, 2])
    with pytest.raises(NotFoundError):
        warehouse.get("new")


def test_a_file_is_not_collected_while_it_is_written(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collect_and_sync(file: int) -> None:
        collect(warehouse.home, warehouse.catalog, ())
        sync(file)

    sync = os.fsync
    _publish(warehouse, FIRST)
    card = warehouse.home.cards_dir / "card.json"
    monkeypatch.setattr(home_module.os, "fsync", collect_and_sync)
    write_atomically(card, json.dumps("card"))
    assert json.loads(card.read_text()) == "card"


def test_a_file_made_for_a_reader_is_kept_while_it_lives_and_gone_afterwards(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _select(warehouse, "train", _publish(warehouse, FIRST).version, [4, 2]).version
    write: Callable[..., None] = reading._write  # pyright: ignore[reportPrivateUsage]

    def write_and_collect(*arguments: Any) -> None:
        write(*arguments)
        collect(warehouse.home, warehouse.catalog, ())

    monkeypatch.setattr(reading, "_write", write_and_collect)
    before = set(warehouse.home.rows_dir.iterdir())
    own = Warehouse(warehouse.home)
    path = own.reader.file(made)
    collect(warehouse.home, warehouse.catalog, ())
    assert pq.read_table(path).column("n").to_pylist() == [4, 2]
    assert own.reader.file(made) == path
    del own
    gc.collect()
    assert set(warehouse.home.rows_dir.iterdir()) == before


def test_a_made_file_that_was_damaged_is_handed_to_nobody_else(warehouse: Warehouse) -> None:
    first = _publish(warehouse, FIRST).version
    made = _select(warehouse, "train", first, [4, 2]).version
    made.path.write_bytes(first.path.read_bytes()[:100])
    warehouse.reader.file(made).write_bytes(b"")
    other = Warehouse(warehouse.home)
    assert pq.read_table(other.reader.file(made)).column("n").to_pylist() == [4, 2]
