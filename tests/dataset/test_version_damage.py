"""Damage and death at any write: what is found, what is repaired, and that the old state stays."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_contracts.errors import DataError, HomeError
from infra.home import open_home
from infra.warehouse import committing
from infra.warehouse.collecting import collect
from infra.warehouse.committing import Origin
from infra.warehouse.integrity import find_damage
from infra.warehouse.warehouse import Warehouse
from tests.dataset.numbered_rows import find_all_damage, number_rows, publish_rows, read_rows


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(open_home(tmp_path / "home"))


CHANGED = (*range(50), 1000, *range(51, 100))


@pytest.fixture(scope="module")
def home_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two") / "home"
    warehouse = Warehouse(open_home(path))
    publish_rows(warehouse, number_rows(*range(100)))
    publish_rows(warehouse, number_rows(*CHANGED))
    assert find_all_damage(warehouse, every_row=True) == []
    return path


@pytest.fixture
def two(home_of_two: Path, tmp_path: Path) -> Warehouse:
    """A copy, to be damaged: `numbers@1`, and `numbers@2` with another row 50."""
    return Warehouse(open_home(shutil.copytree(home_of_two, tmp_path / "home")))


@pytest.mark.parametrize("place", [4, 200, -20])
@pytest.mark.parametrize("kind", ["parquet", "hashes", "manifest"])
def test_a_flipped_byte_is_found_by_verify_and_on_read(two: Warehouse, kind: str, place: int) -> None:
    warehouse, second = two, two.get("numbers@2")
    path = {
        "parquet": warehouse.home.rows_dir / f"{second.segments[0]}.parquet",
        "hashes": warehouse.home.rows_dir / f"{second.segments[0]}.hashes",
        "manifest": warehouse.home.manifests_dir / f"{second.manifest_sha256}.parquet",
    }[kind]
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    affected = ["numbers@2"] if kind == "manifest" else ["numbers@1", "numbers@2"]
    assert find_all_damage(warehouse) == [(f"{path} was changed.", affected)]
    with pytest.raises(DataError, match="was changed"):
        (warehouse.reader.hashes if kind == "hashes" else warehouse.reader.read)(second)


@pytest.mark.parametrize("suffix", [".parquet", ".hashes"])
def test_a_deleted_file_is_found_by_verify_and_on_read(warehouse: Warehouse, suffix: str) -> None:
    version = publish_rows(warehouse, number_rows(1, 2, 3)).version
    path = version.path.with_suffix(suffix)
    path.unlink()
    assert find_all_damage(warehouse) == [(f"{path} is missing.", ["numbers@1"])]
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


@pytest.fixture(scope="module")
def home_of_eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = Warehouse(open_home(tmp_path_factory.mktemp("eight") / "home"))
    for number in range(8):
        publish_rows(warehouse, number_rows(number))
    return warehouse.home.path


@pytest.mark.parametrize("damage", [_cut, _flip])
def test_a_damaged_catalog_is_named_unless_nothing_is_lost(
    home_of_eight: Path, tmp_path: Path, damage: Callable[[bytes], Iterator[bytes]]
) -> None:
    warehouse = Warehouse(open_home(shutil.copytree(home_of_eight, tmp_path / "home")))
    path, before = warehouse.home.warehouse_path, warehouse.versions()
    refused = 0
    for content in damage(path.read_bytes()):
        path.write_bytes(content)
        try:
            assert find_all_damage(warehouse) == []
            assert warehouse.versions() == before
        except HomeError:
            refused += 1
    assert refused >= 2


KILLS = (
    ("SegmentWriter.publish", 1),
    ("synced_sha256", 1),
    ("Path.replace", 1),
    ("Path.replace", 2),
    ("Path.replace", 3),
    ("write_manifest", 1),
    ("_create_view", 1),
)
"""All the times that a file gets its name or a statement changes the catalog in this publish."""


def test_a_kill_at_any_write_leaves_the_old_state_and_a_rerun_converges(home_path: Path) -> None:
    warehouse = Warehouse(open_home(home_path))
    publish_rows(warehouse, number_rows(*range(20)))
    for point, nth in KILLS:
        _run_killed(home_path, point, nth)
        assert find_all_damage(warehouse, every_row=True) == []
        assert [str(version) for version in warehouse.versions()] == ["numbers@1"]
        assert read_rows(warehouse, warehouse.get("numbers@1")) == number_rows(*range(20))
    made = publish_rows(warehouse, number_rows(*range(10), 77, *range(10, 20)))
    assert str(made.version) == "numbers@2"
    assert read_rows(warehouse, made.version) == number_rows(*range(10), 77, *range(10, 20))
    collect(warehouse.home, warehouse.catalog, ())
    left = [path for path in warehouse.home.rows_dir.iterdir() if path.name.startswith(".")]
    assert left == []


@pytest.fixture
def home_path(tmp_path: Path) -> Path:
    return tmp_path / "home"


def _run_killed(home_path: Path, point: str, nth: int) -> None:
    child = multiprocessing.get_context("fork").Process(target=_publish_and_die, args=(home_path, point, nth))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL, (point, nth)


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
    publish_rows(Warehouse(open_home(home_path)), number_rows(*range(10), 77, *range(10, 20)))
    os._exit(0)


def test_a_kill_in_the_transaction_leaves_no_version(home_path: Path) -> None:
    warehouse = Warehouse(open_home(home_path))
    publish_rows(warehouse, number_rows(1, 2))
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


@pytest.mark.parametrize("suffix", [".parquet", ".hashes", "manifest"])
@pytest.mark.parametrize("name", ["numbers", "other"])
def test_publishing_the_rows_again_repairs_what_was_damaged(two: Warehouse, suffix: str, name: str) -> None:
    warehouse, version = two, two.get("numbers@2")
    path = warehouse.home.rows_dir / f"{version.segments[0]}{suffix}"
    if suffix == "manifest":
        path = warehouse.home.manifests_dir / f"{version.manifest_sha256}.parquet"
    path.write_bytes(path.read_bytes()[:-3])
    assert find_all_damage(warehouse) != []
    for rows in (number_rows(*range(100)), number_rows(*CHANGED)):
        assert str(publish_rows(warehouse, rows, name).version).startswith(name)
    if name == "numbers":
        assert find_all_damage(warehouse, every_row=True) == []
    assert read_rows(warehouse, warehouse.get(name)) == number_rows(*CHANGED)
    assert len(warehouse.versions(name)) == 2


def test_a_missing_catalog_is_named_and_nothing_is_collected(warehouse: Warehouse) -> None:
    publish_rows(warehouse, number_rows(1, 2, 3))
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
    first = publish_rows(warehouse, number_rows(1, 2)).version
    publish_rows(warehouse, number_rows(3, 4))
    versions = warehouse.versions()
    collect(warehouse.home, warehouse.catalog, [first])
    assert find_damage(warehouse.home, warehouse.catalog, versions, True, lambda *_: None) == []
    with pytest.raises(DataError, match="have been collected"):
        warehouse.reader.read(first)
    with pytest.raises(DataError, match="have been collected"):
        warehouse.publish_selection("mix", [first], np.array([0]), np.array([0]), Origin())
