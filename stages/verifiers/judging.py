"""What a worker process does: imports what verifiers need, and forks to judge.

A process that has to die for its completion costs milliseconds then, and no verdict can leave anything behind for
the next. Verifiers with processes of their own (`keeps_state`) judge in the worker itself. The worker outlives
nobody: it ends when the connection closes, when its parent is another process than the one that started it, and,
while busy, when its CPU seconds are over.
"""

import ctypes
import json
import math
import mmap
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from data_contracts.errors import BurnishError, error_document
from data_contracts.verdict import Verdict
from stages.verifiers.catalog import Catalog
from stages.verifiers.submission import Submission

READY = b"ready"

_MEMORY_BYTES = 4 * 2**30
_IDLE_CHECK_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


def serve(connection: Connection, parent: int, catalog: Catalog) -> NoReturn:
    """The child's side: answer until nobody is left to ask."""
    try:
        connection.send_bytes(READY)
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
