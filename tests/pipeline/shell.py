"""A process that runs `burnish` command lines one after another, so that Prefect starts once and not per test."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from infra.environment import run_environment
from infra.home import home_path, open_home
from infra.run_server import run_server
from tests.factories import read_source_once

BURNISH = Path(sys.executable).with_name("burnish")
PROJECT = Path(__file__).parents[2]
SECONDS = 300.0
"""Far more than anything here takes: a deadline is for what hangs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """All of it on one line: a terminal's width decides where lines break."""
        return " ".join(f"{self.out} {self.err}".split())


class Shell:
    """Starts its process when first needed, and again after `kill`."""

    def __init__(self, home: Path, environment: Mapping[str, str], log: Path) -> None:
        self.home = home
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def run(self, *arguments: str | Path, home: Path | None = None, cwd: Path | None = None) -> Outcome:
        self.start(*arguments, home=home, cwd=cwd)
        return self.wait()

    def start(self, *arguments: str | Path, home: Path | None = None, cwd: Path | None = None) -> None:
        """Begin a command line and return at once."""
        connection = self._connect()
        connection.send(
            {
                "arguments": [str(argument) for argument in arguments],
                "home": str(home or self.home),
                "cwd": str(cwd or self._log.parent),
            }
        )

    def wait(self) -> Outcome:
        assert self._connection is not None
        if not self._connection.poll(SECONDS):
            self.kill()
            raise TimeoutError(f"no end after {SECONDS:g} s; see {self._log}")
        return Outcome(**self._connection.recv())

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def processes(self) -> list[psutil.Process]:
        """What runs below this process."""
        return psutil.Process(self.pid).children(recursive=True)

    def interrupt(self) -> None:
        """What Ctrl-C in a terminal does: SIGINT to every process of the group."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> list[psutil.Process]:
        """SIGKILL to this one process; returns the ones it leaves behind."""
        assert self._process is not None and self._connection is not None
        left = self.processes()
        self._process.kill()
        self._process.wait()
        self._connection.close()
        self._process = self._connection = None
        return left

    def close(self) -> None:
        if self._process is not None:
            left = self.kill()
            _, alive = psutil.wait_procs(left, timeout=10)
            for process in alive:
                process.kill()

    def _connect(self) -> Connection:
        if self._connection is None:
            ours, theirs = Pipe()
            with theirs, self._log.open("a") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(theirs.fileno())],
                    cwd=PROJECT,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            self._connection = ours
        return self._connection


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.01)


def _serve(connection: Connection) -> None:
    from flows import remembered
    from flows.cli.app import execute

    remembered.read_source = read_source_once
    home = open_home(home_path(os.environ, Path.cwd()))
    os.environ.update(run_environment(home, os.environ, needs_hub=False))
    with run_server(home) as server, contextlib.suppress(EOFError):
        os.environ["PREFECT_API_URL"] = server.api_url
        while True:
            wanted = connection.recv()
            if wanted["arguments"][0] in ("run", "rerun"):
                server.wait_until_it_answers()
            out, err = io.StringIO(), io.StringIO()
            began = time.monotonic()
            with _circumstances(wanted), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = execute(wanted["arguments"])
            seconds = time.monotonic() - began
            connection.send({"code": code, "out": out.getvalue(), "err": err.getvalue(), "seconds": seconds})


@contextlib.contextmanager
def _circumstances(wanted: Mapping[str, Any]) -> Iterator[None]:
    """A command leaves no trace in the environment: the next may be about another home."""
    environment = dict(os.environ)
    os.environ["BURNISH_HOME"] = wanted["home"]
    os.chdir(wanted["cwd"])
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
