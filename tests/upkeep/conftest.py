"""A home with three finished runs, fresh for every test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.home import Home
from tests.copied_home import kept_copy, restored
from tests.upkeep.finished_home import make_home


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    with kept_copy(make_home, tmp_path_factory.mktemp("finished")) as paths:
        yield paths


@pytest.fixture
def home(template: tuple[Path, Path]) -> Home:
    return restored(*template)


@pytest.fixture
def environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a command that runs in this process."""
    for name in [*os.environ]:
        monkeypatch.setenv(name, os.environ[name])  # and so put back what the command sets
    for name in ("PREFECT_HOME", "PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BURNISH_HOME", str(home.path))
