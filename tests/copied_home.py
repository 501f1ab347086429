"""A home that is dear to make, put back to what it was before every test.

MLflow and DuckDB hold absolute paths, so tests work at the same place and a copy beside it is what they begin with.
"""

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.home import Home


@contextmanager
def kept_copy(make_home: Callable[[Path], object], root: Path) -> Generator[tuple[Path, Path]]:
    """The home, and the copy that `restored` takes it from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")  # no connection outlives its file
        make_home(root / "home")
        shutil.copytree(root / "home", root / "copy")
        yield root / "home", root / "copy"


def restored(path: Path, copy: Path) -> Home:
    shutil.rmtree(path)
    shutil.copytree(copy, path)
    return Home(path)
