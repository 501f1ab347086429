"""What a worker process does: imports what verifiers need, and forks to judge.

A process that has to die for its completion costs milliseconds then. What others wrote gets a fork for each
completion, so that nothing it leaves behind (a changed list, another folder, threads, processes) meets the next. A
fork speaks to its worker only, over a pipe of its own, so that whatever it writes there is its own verdict or none.
Verifiers with processes of their own (`keeps_state`) judge in the worker itself.

No process here outlives the one that started it: the kernel sends it a signal then (Linux, prctl(2)).
"""

import ctypes
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NoReturn

from data_contracts.errors import BurnishError, RecipeError, error_document
from data_contracts.verdict import Verdict
from stages.verifiers.catalog import Catalog
from stages.verifiers.reading import shortened
from stages.verifiers.shipped import SHIPPED
from stages.verifiers.submission import Submission

READY = b"ready"
DEATHS_ALLOWED = 2
DIED_TWICE = "the verifier's process died twice"

_MEMORY_BYTES = 4 * 2**30
_PR_SET_PDEATHSIG = 1


def serve(connection: Connection, catalog: Catalog) -> NoReturn:
    """The child's side: answer until nobody is left to ask."""

    def place(submission: Submission) -> tuple[bool, bool]:
        return catalog.find(submission.verifier).keeps_state, submission.verifier in SHIPPED

    with suppress(EOFError, OSError):  # the parent closed the connection
        connection.send_bytes(READY)
        while True:
            asked = [Submission(**each) for each in json.loads(connection.recv_bytes())]
            for (keeps_state, is_ours), part in groupby(asked, place):
                if keeps_state:
                    _answer(connection, list(part), catalog)
                else:
                    submissions = list(part)
                    _answer_in_forks(connection, submissions, catalog, len(submissions) if is_ours else 1)
    sys.exit(0)


def _answer(connection: Connection, submissions: Sequence[Submission], catalog: Catalog) -> None:
    for submission in submissions:
        connection.send_bytes(_judged(submission, catalog))


def _answer_in_forks(
    connection: Connection, submissions: Sequence[Submission], catalog: Catalog, most_in_one: int
) -> None:
    """Each verdict over its limit costs a fork, where a new process would have to import everything again."""
    for submission in submissions:
        with suppress(RecipeError):  # the fork tells
            catalog.load(submission.verifier)
    deaths = 0
    while submissions:
        part = submissions[:most_in_one]
        num_answers, status = _judge_in_fork(connection, part, catalog)
        submissions = submissions[num_answers:]
        if num_answers == len(part):
            deaths = 0
            continue
        deaths = 1 if num_answers else deaths + 1
        if status == -signal.SIGPROF:
            limit = catalog.find(submissions[0].verifier).cpu_seconds
            answer = {"verdict": [0.0, f"needed more than {limit:g} s", {}], "seconds": limit}
        elif deaths == DEATHS_ALLOWED:
            answer = {"failure": DIED_TWICE, "seconds": 0.0}
        else:
            continue
        connection.send_bytes(json.dumps(answer).encode())
        submissions, deaths = submissions[1:], 0


def _judge_in_fork(
    connection: Connection, submissions: Sequence[Submission], catalog: Catalog
) -> tuple[int, int]:
    """How many answers came, and the exit code (negative for a signal)."""
    receiver, sender = Pipe(duplex=False)
    worker = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _end_with(worker, signal.SIGKILL)
            os.setpgid(0, 0)
            connection.close()
            for submission in submissions:
                sender.send_bytes(_judged(submission, catalog))
        finally:
            os._exit(0)  # whatever was raised: what the worker registered for its own exit is not run here
    sender.close()
    num_answers = 0
    try:
        with receiver:
            for _ in submissions:
                try:
                    answer = receiver.recv_bytes()
                except (EOFError, OSError):  # it is gone
                    break
                connection.send_bytes(answer)
                num_answers += 1
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    finally:  # also where this worker is told to leave
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # with what it started itself
    return num_answers, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _end_with(parent: int, number: signal.Signals) -> None:
    """Have the kernel send the signal when the thread that started this process ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it ended before that
        os.kill(os.getpid(), number)


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
        said = shortened(str(error)).encode(errors="replace").decode()  # it may quote what a policy wrote
        answer = {"failure": f"{type(error).__name__}: {said}"}
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


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """With what is registered for exit: sandboxes remove their folders."""
    sys.exit(0)


def _main(descriptor: int, parent: int, catalog: Catalog) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the kernel kills, even where the GIL is held
    signal.signal(signal.SIGTERM, _leave)
    _end_with(parent, signal.SIGTERM)
    serve(Connection(descriptor), catalog)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), Catalog(**json.loads(sys.argv[3])))
