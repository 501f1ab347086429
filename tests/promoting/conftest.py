"""A home whose versions are judged and not promoted, fresh for every test; and its commands, in this process."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.cli.app import execute
from infra.home import Home
from infra.ledger import Ledger
from infra.registry_aliases import RegistryAliases
from tests.copied_home import kept_copy, restored
from tests.promoting.judged_home import MODEL, make_home


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """All of it on one line: a terminal's width decides where lines break."""
        return " ".join((self.out + " " + self.err).split())


Burnish = Callable[..., Said]


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    with kept_copy(make_home, tmp_path_factory.mktemp("judged")) as paths:
        yield paths


@pytest.fixture
def home(judged: tuple[Path, Path]) -> Home:
    return restored(*judged)


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger(home.ledger_path)


@pytest.fixture
def burnish(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Burnish:
    for name in [*os.environ]:
        monkeypatch.setenv(name, os.environ[name])  # and so put back what a command sets
    for name in ("PREFECT_HOME", "PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BURNISH_HOME", str(home.path))
    monkeypatch.setenv("COLUMNS", "60")

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = execute(list(arguments))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


def aliases(home: Home) -> dict[str, int]:
    """What MLflow has."""
    return dict(RegistryAliases(home).state(MODEL).aliases)
