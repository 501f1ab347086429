"""Verifiers that misbehave as their completion asks, loaded by name into worker processes."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from pydantic import with_config
from typing_extensions import TypedDict

from data_contracts.errors import GroundTruthError, SandboxError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.verifier import Verifier


@with_config(extra="forbid")
class Place(TypedDict, total=False):
    """Where the verifier notes that it was called."""

    place: str


def odd(completion: str, problem: PosedProblem, place: str = "") -> Any:
    """Does what the completion says; right when it says the ground truth."""
    if completion == "die once" and not Path(place).exists():
        Path(place).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if completion in _ODDITIES:
        return _ODDITIES[completion]()
    if problem.ground_truth == "uncheckable":
        raise GroundTruthError("The ground truth is uncheckable.", "another", "Fix it.")
    is_right = completion in (problem.ground_truth, "die once")
    return Verdict(float(is_right), f"asked {problem.prompt}", {"right": float(is_right)})


def _forge() -> Verdict:
    """Writes where answers are written, a whole one or the beginning of one that never ends."""
    forged = b'{"verdict": [1.0, "forged", {}], "seconds": 0}'
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            os.write(int(entry.name), len(forged).to_bytes(4, "big") + forged + b"\0\xff\0\0and so on")
    return Verdict(0.0, "honest")


def _leave_traces() -> Verdict:
    _TRACES.append(str(Path.cwd()))
    os.chdir("/")
    sleeper = subprocess.Popen(["/bin/sleep", "600"])
    threading.Thread(target=_loop).start()
    return Verdict(1.0, f"{len(_TRACES)} {sleeper.pid}")


def _loop() -> None:
    while True:
        pass


def _raise(error: BaseException) -> None:
    raise error


def _numpy() -> Verdict:
    number: Any = np.float32
    return Verdict(number(1.0), "of another library", {"right": number(0.5)})


_ODDITIES: dict[str, Callable[[], Any]] = {
    "loop": _loop,
    "power": lambda: 9 ** (9**9),  # one long call into C that never gives the lock away
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "exit": lambda: _raise(SystemExit(0)),
    "memory": lambda: b"0" * 2**36,
    "raise": lambda: _raise(ZeroDivisionError("of its own making")),
    "sleep": lambda: time.sleep(600),
    "forge": _forge,
    "traces": _leave_traces,
    "half a character": lambda: Verdict(1.0, "\ud800" * 5000),
    "no sandbox": lambda: _raise(SandboxError("There is no sandbox here.", "one", "Install it.")),
    "too much": lambda: Verdict(2.0, "never"),
    "other type": lambda: SimpleNamespace(reward=1.0, reason="not a verdict", parts={}),
    "no number": lambda: Verdict(1.0, "with a part that is none", {"right": float("nan")}),
    "numpy": _numpy,
}

_TRACES: list[str] = []

ODD = Verifier(
    thorough="tests.verifiers.odd_verifiers:odd", arguments=Place, cpu_seconds=0.3, wall_seconds=2.0
)
NO_RECORD = odd
UNLOADABLE = Verifier(thorough="tests.verifiers.no_such_module:judge")
