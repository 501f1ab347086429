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
    """Gives verdicts and counts those that could not be had."""

    def __init__(self, pool: VerifierPool) -> None:
        self._pool = pool
        self.asked = 0
        self.failed = 0
        self._last_failure = ""

    @property
    def catalog(self) -> Catalog:
        return self._pool.catalog

    def verify_all(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """One outcome each. Raises DataError where a problem cannot be checked, whatever the completion."""
        outcomes = self._pool.verify_all(submissions)
        for outcome in outcomes:
            if outcome.fault is not None:
                raise outcome.fault
            if outcome.verdict is None:
                self.failed += 1
                self._last_failure = outcome.failure
        self.asked += len(outcomes)
        return outcomes

    def require_few_failures(self, expected: int = 0) -> None:
        """Raise StageError when more than one per cent of the verdicts, had or still expected, cannot be had."""
        require_few_failures(max(self.asked, expected), self.failed, self._last_failure)


def require_few_failures(asked: int, failed: int, last_failure: str) -> None:
    """Raise StageError when more than one per cent of the verdicts could not be had."""
    if failed > _FAILURES_ALLOWED * max(asked, _MIN_VERDICTS):
        raise StageError(
            f"{failed} of {asked} verdicts could not be had: {last_failure}.",
            f"at most {_FAILURES_ALLOWED:.0%}",
            "`burnish verifier check` tries a verifier; for a process that dies, look for a lack of memory.",
        )
