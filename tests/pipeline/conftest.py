"""One real run, made once; most tests look at what it left."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.home import Home
from infra.ledger import Ledger
from tests.pipeline.coin import write_coin
from tests.pipeline.shell import BURNISH, SECONDS, Outcome, Shell

_OFFLINE = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$0" "$@"']
"""A network of its own, with nothing in it but loopback."""


@dataclass(frozen=True, slots=True)
class World:
    """A home, the recipe that ran in it, and how that went."""

    home: Home
    recipe: Path
    user_home: Path
    """What the HOME variable named: nothing may be written there."""

    environment: Mapping[str, str]
    first: Outcome
    is_offline: bool
    """Whether this machine let the run have no network at all."""

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.home.ledger_path)

    def burnish(self, *arguments: str | Path) -> Outcome:
        """The installed command, in a process of its own."""
        return burnish(self.environment, [], *arguments)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of somebody who has nothing but Burnish."""
    user_home = tmp_path_factory.mktemp("user")
    names = ("PATH", "LANG", "TZ", "PYTHONPATH", "OMP_WAIT_POLICY")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return kept | {"HOME": str(user_home), "TMPDIR": str(tmp_path_factory.mktemp("tmp")), "COLUMNS": "80"}


@pytest.fixture(scope="session")
def world(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("project")
    home = Home(tmp_path_factory.mktemp("home") / "burnish")
    recipe = write_coin(folder)
    environment = environment | {"BURNISH_HOME": str(home.path)}
    is_offline = subprocess.run([*_OFFLINE, "true"], capture_output=True, check=False).returncode == 0
    first = burnish(environment, _OFFLINE if is_offline else [], "run", recipe)
    assert first.code == 0, first.text
    return World(home, recipe, Path(environment["HOME"]), environment, first, is_offline)


@pytest.fixture(scope="session")
def shell(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Commands in the home of `world`, sharing one Prefect."""
    shell = Shell(world.home.path, world.environment, tmp_path_factory.mktemp("shell") / "shell.log")
    yield shell
    shell.close()


def burnish(environment: Mapping[str, str], prefix: list[str], *arguments: str | Path) -> Outcome:
    began = time.monotonic()
    done = subprocess.run(
        [*prefix, BURNISH, *arguments],
        env=environment,
        cwd=environment["HOME"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        start_new_session=True,
    )
    return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
