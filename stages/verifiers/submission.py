"""What is put before a verifier, as it travels to a worker process: names and texts, nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem, Verdict


@dataclass(frozen=True, slots=True)
class Submission:
    """One completion of one problem, with the verifier that is to judge it."""

    verifier: str
    arguments: str
    """The verifier's keyword arguments, as a JSON object."""

    completion: str
    prompt: str
    ground_truth: str

    @property
    def problem(self) -> PosedProblem:
        return PosedProblem(self.prompt, self.ground_truth)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a submission: a verdict, or why there is none."""

    verdict: Verdict | None
    seconds: float
    """Time the verdict took, without waiting for a worker."""

    failure: str = ""
    """Without a verdict: how the verifier failed, which is no fault of the completion."""

    fault: DataError | None = None
    """Without a verdict: the problem itself cannot be checked, whatever the completion."""


def submission(problem: Mapping[str, Any], completion: str) -> Submission:
    """`problem` is a row with prompt, ground_truth, verifier and arguments."""
    prompt = "\n".join(message["content"] for message in problem["prompt"])
    return Submission(problem["verifier"], problem["arguments"], completion, prompt, problem["ground_truth"])
