"""A process apart, for verifiers whose work on a completion may hang or take all memory.

Two limits, so that infrastructure never poisons a reward. CPU seconds are the completion's own fault: the
kernel ends the process that judges it, and that is reward 0. Wall seconds are only reached by a worker that is
starved, stopped or broken: that counts as a death, is tried once more, and then there is no verdict. What
no completion is to blame for, such as a sandbox that was killed, is tried once more too, in another worker; an
error of Burnish is then raised.

The worker is a plain subprocess rather than a `multiprocessing` one, because daemonic processes may not have
those.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from data_contracts.errors import BurnishError, DataError, StageError, error_from_document
from data_contracts.verdict import Verdict
from stages.verifiers.catalog import Catalog
from stages.verifiers.judging import DEATHS_ALLOWED, DIED_TWICE, READY
from stages.verifiers.submission import Outcome, Submission

_MODULE = "stages.verifiers.judging"
_START_SECONDS = 120.0
_STARTS_ALLOWED = 5
"""One that was killed while it started is not broken, as where memory is short; one that always ends is."""

_FAREWELL_SECONDS = 0.5
_TRANSFER_SECONDS = 30
"""For a message that is being read or written: a worker that was stopped leaves its end of the line full."""


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
            last = self._attempt(submissions[before:], outcomes)
            if len(outcomes) == len(submissions):
                break
            limit = self._catalog.find(submissions[len(outcomes)].verifier).cpu_seconds
            deaths = 1 if len(outcomes) > before else deaths + 1
            if self._bury() == -signal.SIGPROF:
                outcomes.append(Outcome(Verdict(0.0, f"needed more than {limit:g} s"), limit))
                deaths = 0
            elif deaths == DEATHS_ALLOWED:
                if isinstance(last, BurnishError):
                    raise last
                outcomes.append(last or Outcome(None, 0.0, DIED_TWICE))
                deaths = 0
        return outcomes

    def close(self) -> None:
        self._bury()

    def _attempt(
        self, submissions: Sequence[Submission], outcomes: list[Outcome]
    ) -> Outcome | BurnishError | None:
        """Append outcomes until the worker dies, or give its last word where it is broken from there on."""
        connection = self._connect()
        try:
            connection.send_bytes(json.dumps([asdict(submission) for submission in submissions]).encode())
            for submission in submissions:
                verifier = self._catalog.find(submission.verifier)
                if not connection.poll(verifier.wall_seconds):
                    return None
                answer = _answer(json.loads(connection.recv_bytes()))
                if isinstance(answer, BurnishError) or (verifier.keeps_state and _is_failure(answer)):
                    return answer
                outcomes.append(answer)
        except (EOFError, OSError):  # it is gone; its exit status says why
            return None
        except (ValueError, LookupError, TypeError):  # a verifier wrote where answers are written
            return None
        return None

    def _connect(self) -> Connection:
        if self._child is not None:
            return self._child[1]
        began, status = time.monotonic(), None
        for _ in range(_STARTS_ALLOWED):
            self._child = self._start()
            if self._is_ready(self._child[1]):
                return self._child[1]
            status = self._bury()
            if time.monotonic() - began > _START_SECONDS:
                break
        raise StageError(
            f"A verifier's worker process does not start (its exit status is {status}).",
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
        _limit_transfers(ours)
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
        connection.close()  # ends an idle or dying worker
        for number in (signal.SIGTERM, signal.SIGKILL):  # a busy one takes what it started along
            try:
                return process.wait(_FAREWELL_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(number)
        return process.wait()


def _limit_transfers(connection: Connection) -> None:
    """Have reads and writes end in an OSError (socket(7)); `poll` waits for the answer itself."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            end.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _TRANSFER_SECONDS, 0))


def _answer(answer: dict[str, Any]) -> Outcome | BurnishError:
    if "verdict" in answer:
        return Outcome(Verdict(*answer["verdict"]), answer["seconds"])
    if "error" in answer:
        error = error_from_document(answer["error"])
        if not isinstance(error, DataError):  # no sandbox, say: nothing that another completion would change
            return error
        return Outcome(None, answer["seconds"], error.found, error)
    return Outcome(None, answer["seconds"], answer["failure"])


def _is_failure(outcome: Outcome) -> bool:
    return outcome.verdict is None and outcome.fault is None
