"""A home with three finished runs, fresh for every test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.home import Home
from tests.upkeep.finished_home import make_home


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A home and a copy of it: MLflow and DuckDB hold absolute paths, so tests work at the same place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")  # no connection outlives its file
        root = tmp_path_factory.mktemp("finished")
        make_home(root / "home")
        shutil.copytree(root / "home", root / "copy")
        yield root / "home", root / "copy"


@pytest.fixture
def home(template: tuple[Path, Path]) -> Home:
    path, copy = template
    shutil.rmtree(path)
    shutil.copytree(copy, path)
    return Home(path)
