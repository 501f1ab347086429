"""A process apart, for verifiers whose work on a completion may hang or take all memory.

Two limits, so that infrastructure never poisons a reward. CPU seconds are the completion's own fault: the
kernel ends the process that judges it, and that is reward 0. Wall seconds are only reached by a worker that is
starved, stopped or broken: that counts as a death, is tried once more, and then there is no verdict.

A worker imports what verifiers need and forks to judge, so that a process which has to die costs milliseconds and
no verdict can leave anything behind for the next. Verifiers with processes of their own (`keeps_state`) judge in
the worker itself.

The worker is a plain subprocess rather than a `multiprocessing` one, because daemonic processes may not have
those. It outlives nobody: it ends when the connection closes, when its parent is another process than the
one that started it, and, while busy, when its CPU seconds are over.
"""

import ctypes
import json
import math
import mmap
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from data_contracts.errors import BurnishError, DataError, StageError, error_document, error_from_document
from data_contracts.verdict import Verdict
from stages.verifiers.catalog import Catalog
from stages.verifiers.submission import Outcome, Submission

_MODULE = "stages.verifiers.worker"
_START_SECONDS = 120.0
_MEMORY_BYTES = 4 * 2**30
_IDLE_CHECK_SECONDS = 5.0
_FAREWELL_SECONDS = 0.5
_READY = b"ready"
_DEATHS_ALLOWED = 2
_PR_SET_PDEATHSIG = 1


class Worker:
    """One child, started when first needed. One thread at a time may use it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._child: tuple[subprocess.Popen[bytes], Connection] | None = None

    @property
    def pid(self) -> int | None:
        return self._child[0].pid if self._child else None

    def judge(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """One outcome each, in order. A death costs nobody but the submission it happened at, the second time."""
        try:
            return self._judge(submissions)
        except BaseException:  # answers may still be on their way: nobody must take them for his own
            self._bury()
            raise

    def _judge(self, submissions: Sequence[Submission]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        deaths = 0
        while len(outcomes) < len(submissions):
            before = len(outcomes)
            outcomes.extend(self._attempt(submissions[before:]))
            if len(outcomes) == len(submissions):
                break
            limit = self._catalog.find(submissions[len(outcomes)].verifier).cpu_seconds
            deaths = 1 if len(outcomes) > before else deaths + 1
            if self._bury() == -signal.SIGPROF:
                outcomes.append(Outcome(Verdict(0.0, f"needed more than {limit:g} s"), limit))
                deaths = 0
            elif deaths == _DEATHS_ALLOWED:
                outcomes.append(Outcome(None, 0.0, "the verifier's process died twice"))
                deaths = 0
        return outcomes

    def close(self) -> None:
        self._bury()

    def _attempt(self, submissions: Sequence[Submission]) -> Iterator[Outcome]:
        """The outcomes until the worker dies."""
        connection = self._connect()
        try:
            connection.send_bytes(json.dumps([asdict(submission) for submission in submissions]).encode())
            for submission in submissions:
                if not connection.poll(self._catalog.find(submission.verifier).wall_seconds):
                    return
                yield _outcome(json.loads(connection.recv_bytes()))
        except (EOFError, OSError):  # it is gone; its exit status says why
            return

    def _connect(self) -> Connection:
        for _ in range(_DEATHS_ALLOWED):
            if self._child is None:
                self._child = self._start()
                if not self._is_ready(self._child[1]):
                    self._bury()
                    continue
            return self._child[1]
        raise StageError(
            "A verifier's worker process does not start.",
            f"an answer within {_START_SECONDS:g} s",
            "Look for a lack of memory, or a module of yours that hides one of Python's own.",
        )

    def _is_ready(self, connection: Connection) -> bool:
        try:
            return connection.poll(_START_SECONDS) and connection.recv_bytes() == _READY
        except (EOFError, OSError):
            return False

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = Pipe()
        added = json.dumps({"added": self._catalog.added, "sandbox": self._catalog.sandbox})
        arguments = [theirs.fileno(), os.getpid(), added]
        root = os.fspath(Path(__file__).parents[2])
        search = os.pathsep.join([root, *filter(None, sys.path)])
        with theirs:
            process = subprocess.Popen(  # noqa: S603 (our own module and numbers)
                [sys.executable, "-m", _MODULE, *map(str, arguments)],
                cwd=root,
                # SymPy's term order follows hashes; a user's own verifier stands where this process finds it.
                env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": search},
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
            return process.wait(_FAREWELL_SECONDS)  # closing the connection ends an idle or dying worker
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def serve(connection: Connection, parent: int, catalog: Catalog) -> NoReturn:
    """The child's side: answer until nobody is left to ask."""
    try:
        connection.send_bytes(_READY)
        while _is_asked(connection, parent):
            submissions = [Submission(**each) for each in json.loads(connection.recv_bytes())]
            for keeps_state, part in groupby(
                submissions, lambda each: catalog.find(each.verifier).keeps_state
            ):
                (_answer if keeps_state else _answer_in_forks)(connection, list(part), catalog)
    except (EOFError, OSError):  # the parent closed the connection
        pass
    sys.exit(0)


def _answer(connection: Connection, submissions: Sequence[Submission], catalog: Catalog) -> None:
    for submission in submissions:
        connection.send_bytes(_judged(submission, catalog))


def _answer_in_forks(connection: Connection, submissions: Sequence[Submission], catalog: Catalog) -> None:
    """Each verdict over its limit costs a fork, where a new process would have to import everything again."""
    for submission in submissions:
        catalog.load(submission.verifier)
    answered = mmap.mmap(-1, 1)
    while submissions:
        answered[0] = 0
        child = os.fork()
        if child == 0:
            _die_with_parent()
            for number, submission in enumerate(submissions, 1):
                connection.send_bytes(_judged(submission, catalog))
                answered[0] = number
            os._exit(0)
        _, status = os.waitpid(child, 0)
        submissions = submissions[answered[0] :]
        if submissions and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
            limit = catalog.find(submissions[0].verifier).cpu_seconds
            late = {"verdict": [0.0, f"needed more than {limit:g} s", {}], "seconds": limit}
            connection.send_bytes(json.dumps(late).encode())
            submissions = submissions[1:]
        elif submissions:
            sys.exit(1)  # whoever asked counts a death


def _die_with_parent() -> None:
    """The kernel ends this process when the one that forked it ends (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _judged(submission: Submission, catalog: Catalog) -> bytes:
    answer: dict[str, Any]
    began = time.perf_counter()
    try:
        judge = catalog.thorough(submission)  # imports are not the completion's fault
        signal.setitimer(signal.ITIMER_PROF, catalog.find(submission.verifier).cpu_seconds)
        answer = {"verdict": _plain(judge())}
    except MemoryError:
        answer = {"verdict": [0.0, "needed more memory than a verifier may use", {}]}
    except BurnishError as error:
        answer = {"error": error_document(error)}
    except Exception as error:  # noqa: BLE001 (a verifier that a user added may raise anything)
        answer = {"failure": f"{type(error).__name__}: {error}"}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return json.dumps(answer | {"seconds": time.perf_counter() - began}).encode()


def _plain(verdict: Any) -> list[Any]:
    """What others wrote may give anything: numbers of other libraries become floats, the rest is refused."""
    if not isinstance(verdict, Verdict):
        raise TypeError(f"a verifier gives a Verdict, this one gave {type(verdict).__name__}")
    parts = {str(name): float(value) for name, value in verdict.parts.items()}
    if not all(map(math.isfinite, parts.values())):
        raise ValueError(f"a verdict's parts are numbers, this verifier gave {parts}")
    return [float(verdict.reward), str(verdict.reason), parts]


def _outcome(answer: dict[str, Any]) -> Outcome:
    if "verdict" in answer:
        return Outcome(Verdict(*answer["verdict"]), answer["seconds"])
    if "error" in answer:
        error = error_from_document(answer["error"])
        if not isinstance(error, DataError):  # no sandbox, say: nothing that another completion would change
            raise error
        return Outcome(None, answer["seconds"], error.found, error)
    return Outcome(None, answer["seconds"], answer["failure"])


def _is_asked(connection: Connection, parent: int) -> bool:
    """False once the parent has gone. A process it forked may keep the connection open for ever."""
    while not connection.poll(_IDLE_CHECK_SECONDS):
        if os.getppid() != parent:
            return False
    return True


def _main(descriptor: int, parent: int, catalog: Catalog) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the kernel kills, even where the GIL is held
    serve(Connection(descriptor), parent, catalog)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), Catalog(**json.loads(sys.argv[3])))
