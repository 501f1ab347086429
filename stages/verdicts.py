"""Verdicts in bulk: infrastructure never poisons a reward.

A verifier's own limit is a verdict (reward 0 with that reason). A verifier process that died is no verdict:
the completion is left out and counted, and above one per cent the stage fails.
"""

from data_contracts.errors import StageError
from data_contracts.verdict import Verdict
from stages.verifiers.catalog import verify
from stages.verifiers.worker import VerifierDiedError

_FAILURES_ALLOWED = 0.01
_MIN_VERDICTS = 200
"""Below this many, one unlucky death would already be above the share."""


class VerdictCounter:
    """Gives verdicts and counts those that could not be had."""

    def __init__(self) -> None:
        self.asked = 0
        self.failed = 0

    def verify(self, verifier: str, arguments: str, completion: str, ground_truth: str) -> Verdict | None:
        """The verdict, or None when the verifier's process died twice."""
        self.asked += 1
        try:
            return verify(verifier, arguments, completion, ground_truth)
        except VerifierDiedError:
            self.failed += 1
            return None

    def require_few_failures(self) -> None:
        """Raise StageError when more than one per cent of the verdicts could not be had."""
        if self.failed > _FAILURES_ALLOWED * max(self.asked, _MIN_VERDICTS):
            raise StageError(
                f"{self.failed} of {self.asked} verdicts could not be had: the verifier's process died.",
                f"at most {_FAILURES_ALLOWED:.0%}",
                "See the stage's log; out of memory is the usual cause.",
            )
