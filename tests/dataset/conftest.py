"""Homes to type commands into."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli.app import execute
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.warehouse.warehouse import Warehouse
from tests.dataset.lineage_world import World, build
from tests.dataset.terminal import Terminal, chat


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.setenv("BURNISH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path)
    return Terminal(tmp_path, capsys)


@pytest.fixture(scope="module")
def home_of_one_row(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_row")
    (folder / "rows.jsonl").write_text(json.dumps(chat("a")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_HOME", str(folder / "home"))
        assert execute(["data", "import", "d", str(folder / "rows.jsonl")]) == 0
    return folder


@pytest.fixture
def one_row(
    home_of_one_row: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """For commands that make nothing: `d@1`, one conversation."""
    monkeypatch.setenv("BURNISH_HOME", str(home_of_one_row / "home"))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(home_of_one_row)
    return Terminal(home_of_one_row, capsys)


@pytest.fixture
def own_environment() -> Iterator[None]:
    """`withdraw` sets variables for MLflow."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world of lineage, made once; every test has a copy."""
    home = open_home(tmp_path_factory.mktemp("built") / "home")
    build(home)
    return home.path


@pytest.fixture
def world(built: Path, tmp_path: Path) -> World:
    home = Home(Path(shutil.copytree(built, tmp_path / "home")))
    return World(home, Ledger(home.ledger_path), Warehouse(home))
