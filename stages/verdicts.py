"""Verdicts in bulk: infrastructure never poisons a reward.

A verifier's own limit is a verdict (reward 0 with that reason). A verifier that failed is no verdict: the
completion is left out and counted, and above one per cent the stage fails.
"""

from collections.abc import Sequence

from data_contracts.errors import StageError
from stages.verifiers.catalog import Catalog
from stages.verifiers.pool import VerifierPool
from stages.verifiers.submission import Outcome, Submission

_FAILURES_ALLOWED = 0.01
_MIN_VERDICTS = 200
"""Below this many, one unlucky death would already be above the share."""


class VerdictCounter:
    """Gives verdicts and counts completions, and those of them without one."""

    def __init__(self, pool: VerifierPool) -> None:
        self._pool = pool
        self.asked = 0
        self.failed = 0
        self._first_failure = ""

    @property
    def catalog(self) -> Catalog:
        return self._pool.catalog

    @property
    def share_failed(self) -> float:
        return self.failed / max(self.asked, 1)

    def verify_all(self, submissions: Sequence[Submission], terms: int = 1) -> list[Outcome]:
        """One outcome each. Every `terms` of them are about one completion, which fails where one of them does.

        Raises DataError where a problem cannot be checked, whatever the completion.
        """
        outcomes = self._pool.verify_all(submissions)
        failed: set[int] = set()
        for position, (submission, outcome) in enumerate(zip(submissions, outcomes, strict=True)):
            if outcome.fault is not None:
                raise outcome.fault
            if outcome.verdict is None:
                failed.add(position // terms)
                self._first_failure = self._first_failure or f"{submission.verifier}: {outcome.failure}"
        self.failed += len(failed)
        self.asked += len(outcomes) // terms
        return outcomes

    def notes(self) -> list[str]:
        """What a stage says of the completions it left out: one sentence, or none."""
        if not self.failed:
            return []
        return [
            f"{self.failed} of {self.asked} completions without a verdict left out ({self._first_failure})"
        ]

    def require_few_failures(self, expected: int = 0) -> None:
        """Raise StageError when more than one per cent of the verdicts, had or still expected, cannot be had."""
        require_few_failures(max(self.asked, expected), self.failed, self._first_failure)


def require_few_failures(asked: int, failed: int, failure: str) -> None:
    """Raise StageError when more than one per cent of the verdicts, or all, could not be had; `failure` says why."""
    if failed == asked > 0 or failed > _FAILURES_ALLOWED * max(asked, _MIN_VERDICTS):
        raise StageError(
            f"{failed} of {asked} verdicts could not be had: {failure}.",
            f"at most {_FAILURES_ALLOWED:.0%}",
            "`burnish verifier check` tries a verifier; for a process that dies, look for a lack of memory.",
        )
