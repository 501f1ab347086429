"""Verifiers that misbehave as their completion asks, loaded by name into worker processes."""

import os
import signal
from pathlib import Path

from pydantic import with_config
from typing_extensions import TypedDict

from data_contracts.errors import GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.verifiers.verifier import Verifier


@with_config(extra="forbid")
class Place(TypedDict, total=False):
    """Where the verifier notes that it was called."""

    place: str


def odd(completion: str, problem: PosedProblem, place: str = "") -> Verdict:
    """Does what the completion says; right when it says the ground truth."""
    if completion == "loop":
        while True:
            pass
    if completion == "power":
        return Verdict(1.0, str(9 ** (9**9) % 2))  # one long C call that never gives the lock away
    if completion == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if completion == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if completion == "die once" and not Path(place).exists():
        Path(place).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if completion == "memory":
        return Verdict(1.0, str(len(b"0" * 2**36)))
    if completion == "raise":
        raise ZeroDivisionError("of its own making")
    if completion == "too much":
        return Verdict(2.0, "never")
    if completion == "exit":
        raise SystemExit(0)
    if problem.ground_truth == "uncheckable":
        raise GroundTruthError("The ground truth is uncheckable.", "another", "Fix it.")
    is_right = completion in (problem.ground_truth, "die once")
    return Verdict(float(is_right), f"asked {problem.prompt}", {"right": float(is_right)})


ODD = Verifier(
    thorough="tests.verifiers.odd_verifiers:odd", arguments=Place, cpu_seconds=0.3, wall_seconds=2.0
)
ABSENT = Verifier(thorough="tests.verifiers.odd_verifiers:nothing")
NO_RECORD = odd
