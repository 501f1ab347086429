"""A Prefect server for the length of one run, where this home has none running.

Prefect would start one itself, but in the run's process group and watched by nobody: Ctrl-C in a terminal would
end it before the run has said that it was stopped, and a killed run would leave it running for ever. This one
has a session of its own and ends with its starter, whose end it sees at the end of its standard input.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import filelock

from data_contracts.errors import ServerError
from infra.home import Home
from infra.server_process import HOST, any_free_port, is_reachable

START_SECONDS = 120.0
STARTING = "prefect-start"
"""Lock of a home, held by whoever starts a Prefect server in it until that answers."""

_POLL_SECONDS = 0.05
_STOP_SECONDS = 10.0

# No web page and no background services, as Prefect has it for its own servers of this kind.
_ENVIRONMENT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class RunServer:
    """The address, and a way to wait until it answers: starting takes seconds that can be put to use."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, home: Home) -> None:
        self._process, self._port, self._log = process, port, _log_path(home)
        self.has_failed = False

    @property
    def api_url(self) -> str:
        """The value of PREFECT_API_URL that joins this server."""
        return f"http://{HOST}:{self._port}/api"

    def wait_until_it_answers(self) -> None:
        """Raises ServerError, with the end of its log, when it dies or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not is_reachable(self._port, "/api/health"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.has_failed = True
                lines = self._log.read_text(errors="replace").splitlines()[-10:]
                raise ServerError(
                    "The run's Prefect server did not start:\n" + ("\n".join(lines) or "it wrote no log"),
                    f"an answer from {self.api_url}",
                    f"See {self._log}, then run again.",
                )
            time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def run_server(home: Home) -> Generator[RunServer]:
    """Start the server in the background; it is gone when the context is left."""
    port = any_free_port()
    with _log_path(home).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our interpreter and this module
            [sys.executable, "-m", "infra.run_server", str(port), str(home.path)],
            env=os.environ | _ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = RunServer(process, port, home)
    try:
        yield server
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if not server.has_failed:
            _log_path(home).unlink(missing_ok=True)


def _log_path(home: Home) -> Path:
    return home.logs_dir / f"run-server-{os.getpid()}.log"


def _serve(port: int, home: Home) -> None:
    """One start at a time in a home: the first of all makes Prefect's database, which two cannot do."""
    import uvicorn

    threading.Thread(target=_end_with_starter, daemon=True).start()
    starting = filelock.FileLock(home.lock_path(STARTING), thread_local=False)
    starting.acquire()
    threading.Thread(target=_release_when_it_answers, args=(starting, port), daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app", factory=True, host=HOST, port=port, log_level="warning"
    )


def _release_when_it_answers(starting: filelock.BaseFileLock, port: int) -> None:
    while not is_reachable(port, "/api/health"):
        time.sleep(_POLL_SECONDS)
    starting.release()


def _end_with_starter() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Home(Path(sys.argv[2])))
