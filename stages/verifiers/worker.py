"""A process apart, for verifiers whose work on a completion may hang or take all memory.

Two limits, so that infrastructure never poisons a reward. CPU seconds are the completion's own fault: the
kernel ends the process that judges it, and that is reward 0. Wall seconds are only reached by a worker that is
starved, stopped or broken: that counts as a death, is tried once more, and then there is no verdict.

The worker is a plain subprocess rather than a `multiprocessing` one, because daemonic processes may not have
those.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from data_contracts.errors import DataError, StageError, error_from_document
from data_contracts.verdict import Verdict
from stages.verifiers.catalog import Catalog
from stages.verifiers.judging import READY
from stages.verifiers.submission import Outcome, Submission

_MODULE = "stages.verifiers.judging"
_START_SECONDS = 120.0
_FAREWELL_SECONDS = 0.5
_DEATHS_ALLOWED = 2


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
            return connection.poll(_START_SECONDS) and connection.recv_bytes() == READY
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


def _outcome(answer: dict[str, Any]) -> Outcome:
    if "verdict" in answer:
        return Outcome(Verdict(*answer["verdict"]), answer["seconds"])
    if "error" in answer:
        error = error_from_document(answer["error"])
        if not isinstance(error, DataError):  # no sandbox, say: nothing that another completion would change
            raise error
        return Outcome(None, answer["seconds"], error.found, error)
    return Outcome(None, answer["seconds"], answer["failure"])
