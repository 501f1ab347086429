"""One server process: leader of a session of its own, so that it outlives its starter and ends as a whole.

It is recorded by process number and birth: a number that was reused since is never taken for it.
"""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from data_contracts.errors import HomeError
from infra.process_identity import is_same_process, process_birth

HOST = "127.0.0.1"
STOP_TIMEOUT_SECONDS = 15
_POLL_SECONDS = 0.05


class Server(BaseModel):
    """A server that was started, whether it still runs or not."""

    model_config = ConfigDict(frozen=True)

    name: str
    port: int
    pid: int
    birth: float
    """What tells it from other processes with its number."""

    health_path: str
    log_path: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def spawn(
    module_and_arguments: list[str],
    environment: Mapping[str, str],
    *,
    name: str,
    port: int,
    health_path: str,
    log_path: Path,
) -> Server:
    """Start `python -m …` detached, with output to `log_path`."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our interpreter, modules named in this project
            [sys.executable, "-m", *module_and_arguments],
            cwd=log_path.parent,  # not where somebody's prefect.toml or .env lies
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    birth = process_birth(process.pid)
    assert birth is not None  # not even a dead child is gone before we ask for its status
    return Server(
        name=name,
        port=port,
        pid=process.pid,
        birth=birth,
        health_path=health_path,
        log_path=log_path,
    )


def is_alive(server: Server) -> bool:
    return is_same_process(server.pid, server.birth)


def accepts_connections(server: Server) -> bool:
    try:
        socket.create_connection((HOST, server.port), timeout=1).close()
    except OSError:
        return False
    return True


def is_healthy(server: Server) -> bool:
    return is_reachable(server.port, server.health_path)


def is_reachable(port: int, path: str) -> bool:
    """Whether something on this port of loopback answers the path with 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)  # asks no proxy, unlike urllib
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def end(server: Server) -> None:
    """SIGTERM to every process of the server's session, SIGKILL to those that stay."""
    if process_birth(server.pid) not in (None, server.birth):
        return
    # The leader may be gone while its workers run: the kernel keeps a number that is still a session's.
    members = [process for process in psutil.process_iter() if _session_id(process.pid) == server.pid]
    for process in members:
        _signal(process, psutil.Process.terminate)
    for process in _wait_until_gone(members):
        _signal(process, psutil.Process.kill)
    _wait_until_gone(members)


def choose_port(wanted: int | None, preferred: int) -> int:
    """`wanted` if given, else `preferred` if it is free, else any free port."""
    if wanted is None:
        return preferred if _is_free(preferred) else any_free_port()
    if not _is_free(wanted):
        raise HomeError(
            f"Port {wanted} on {HOST} is taken by another program.",
            "a free port",
            "Choose another port, or leave it out to get a free one.",
        )
    return wanted


def _runs(process: psutil.Process) -> bool:
    """A zombie has ended; it only waits for its parent to ask."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session_id(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _signal(process: psutil.Process, send: Callable[[psutil.Process], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        send(process)


def _wait_until_gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run at the end of the time to stop."""
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return left


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
