"""A home that is moved works where it is; one that is copied never touches the home it came from."""

import shutil
from pathlib import Path

import pytest

from flows.doctor.checkup import examine
from flows.doctor.garbage import Collection
from infra.home import Home
from infra.ledger import Ledger
from infra.registry import ModelRegistry
from infra.warehouse.warehouse import Warehouse


def contents(home: Path) -> dict[str, bytes]:
    files = (path for path in home.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


@pytest.fixture
def copied(home: Home, tmp_path: Path) -> Home:
    shutil.copytree(home.path, tmp_path / "copy")
    return Home(tmp_path / "copy")


def test_a_copy_has_models_and_rows_of_its_own(home: Home, copied: Home) -> None:
    registry = ModelRegistry(copied.mlflow_uri, copied.mlflow_artifacts_dir)
    assert registry.model_directory("small.sft@champion").is_relative_to(copied.path)
    warehouse = Warehouse(copied)
    version = warehouse.get("small.worked@1")
    assert version.path.is_relative_to(copied.path)
    assert warehouse.reader.prove(version).num_rows == 1
    assert [
        f.found for report in examine(copied.path, is_deep=True) for f in report.findings if not f.is_note
    ] == []


def test_what_is_removed_from_a_copy_is_still_in_the_home_it_came_from(home: Home, copied: Home) -> None:
    before = contents(home.path)
    removed = [each.remove() for each in Collection(copied, Ledger(copied.ledger_path), 1).find()]
    assert removed
    assert contents(home.path) == before


def test_a_moved_home_is_sound_and_what_it_registers_lies_in_it(home: Home, tmp_path: Path) -> None:
    home.path.rename(tmp_path / "moved")
    moved = Home(tmp_path / "moved")
    made = Ledger(moved.ledger_path).find_by_output("small.sft", 3)[0]
    registry = ModelRegistry(moved.mlflow_uri, moved.mlflow_artifacts_dir)
    run = registry.start_pipeline_run("small", "another", "name: small")
    version = registry.register_model(run, "small.sft", moved.models_dir / made.fingerprint, "key-other", {})
    assert registry.model_directory(f"small.sft/{version}").is_relative_to(moved.path)
    shutil.move(moved.path, home.path)
