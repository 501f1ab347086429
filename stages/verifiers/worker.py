"""A process apart, for verifiers whose work on a completion may hang or take all memory.

Two limits, so that infrastructure never poisons a reward. CPU seconds are the completion's own fault: the
kernel ends the worker, and that is reward 0. Wall seconds are only reached by a worker that is starved,
stopped or broken: that counts as a death, is tried once more, and then raises.

The worker is a plain subprocess rather than a `multiprocessing` one, because daemonic processes may not have
those. It outlives nobody: it ends when the connection closes, when its parent is another process than the
one that started it, and, while busy, when its CPU seconds are over.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from data_contracts.errors import StageError
from data_contracts.verdict import Verdict

_START_SECONDS = 120.0
_MEMORY_BYTES = 4 * 2**30
_IDLE_CHECK_SECONDS = 5.0
_FAREWELL_SECONDS = 0.5
_READY = b"ready"


class VerifierDiedError(StageError):
    """A worker died twice on one completion without exceeding a limit: there is no verdict."""


class Worker:
    """One child that runs `python -m module`, started when first needed. Threads may share it."""

    def __init__(self, module: str, cpu_seconds: float = 5.0, wall_seconds: float = 30.0) -> None:
        self._module = module
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._lock = threading.Lock()
        self._child: tuple[subprocess.Popen[bytes], Connection] | None = None

    @property
    def pid(self) -> int | None:
        return self._child[0].pid if self._child else None

    def verdict(self, **job: str) -> Verdict:
        """What the module's function says of `job`; reward 0 when it takes too long."""
        request = json.dumps(job).encode()
        with self._lock:
            verdict = self._attempt(request) or self._attempt(request)
        if verdict is None:
            raise VerifierDiedError(
                f"The verifier worker {self._module} died twice on one completion.",
                f"a verdict within {self._wall_seconds:g} s",
                "Look for a lack of memory, or a worker that cannot start: "
                f"`{sys.executable} -m {self._module}` should complain of missing arguments only.",
            )
        return verdict

    def close(self) -> None:
        with self._lock:
            self._bury()

    def _attempt(self, request: bytes) -> Verdict | None:
        """None when the worker died of anything but its CPU limit."""
        try:
            connection = self._connect()
            connection.send_bytes(request)
            if connection.poll(self._wall_seconds):
                return Verdict(**json.loads(connection.recv_bytes()))
        except (EOFError, OSError):  # it is gone; its exit status says why
            pass
        if self._bury() == -signal.SIGPROF:
            return Verdict(0.0, f"needed more than {self._cpu_seconds:g} s")
        return None

    def _connect(self) -> Connection:
        if self._child is None:
            self._child = self._start()
            if not self._child[1].poll(_START_SECONDS) or self._child[1].recv_bytes() != _READY:
                raise EOFError
        return self._child[1]

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = Pipe()
        arguments = [theirs.fileno(), os.getpid(), self._cpu_seconds]
        with theirs:
            process = subprocess.Popen(  # noqa: S603 (our own module and numbers)
                [sys.executable, "-m", self._module, *map(str, arguments)],
                cwd=Path(__file__).parents[2],
                env=os.environ | {"PYTHONHASHSEED": "0"},  # SymPy's term order follows hashes
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C is for the parent to handle
            )
        return process, ours

    def _bury(self) -> int | None:
        """End the worker, whatever its state, and return its exit status."""
        if self._child is None:
            return None
        process, connection = self._child
        self._child = None
        connection.close()
        try:
            return process.wait(
                timeout=_FAREWELL_SECONDS
            )  # closing the connection ends an idle or dying worker
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def serve(grade: Callable[..., Verdict]) -> NoReturn:
    """The child's side: answer jobs until nobody is left to ask."""
    descriptor, parent, cpu_seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the kernel kills, even where the GIL is held
    connection = Connection(descriptor)
    try:
        connection.send_bytes(_READY)
        while _next_job(connection, parent):
            job = json.loads(connection.recv_bytes())
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            verdict = grade(**job)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send_bytes(json.dumps({"reward": verdict.reward, "reason": verdict.reason}).encode())
    except (EOFError, OSError):  # the parent closed the connection
        pass
    sys.exit(0)


def _next_job(connection: Connection, parent: int) -> bool:
    """False once the parent has gone. A process it forked may keep the connection open for ever."""
    while not connection.poll(_IDLE_CHECK_SECONDS):
        if os.getppid() != parent:
            return False
    return True
