"""A verifier that says which process asked for its verdict, and fails as its completion asks."""

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
    """Where the verifier notes that it has killed."""

    place: str


def telling(completion: str, problem: PosedProblem, place: str = "") -> Verdict:
    """Right when the completion is the ground truth; the reason is the process whose pool this works for."""
    if completion == "kill once" and not Path(place).exists():
        Path(place).touch()
        os.kill(os.getppid(), signal.SIGKILL)
    if completion == "raise":
        raise ZeroDivisionError("of its own making")
    if problem.ground_truth == "uncheckable":
        raise GroundTruthError("The ground truth is uncheckable.", "another", "Fix it.")
    return Verdict(float(completion == problem.ground_truth), str(os.getppid()))


TELLING = Verifier(thorough="tests.pipeline.telling_verifiers:telling", arguments=Place)
