"""Asks verifiers in batches, each question once, and tells how far it is."""

from collections.abc import Callable, Sequence

from stages.verifiers.pool import VerifierPool
from stages.verifiers.submission import Outcome, Submission

OnProgress = Callable[[int, int], None]
"""Called with verdicts had and verdicts known to be needed; the latter grows as cases are made."""

_BATCH = 1000


class Judge:
    """The pool of an audit."""

    def __init__(self, pool: VerifierPool, on_progress: OnProgress | None) -> None:
        self.pool = pool
        self._on_progress = on_progress
        self._done = self._total = 0

    def verify_all(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """One outcome each, in order. Verifiers are deterministic: equal submissions share theirs."""
        distinct = list(dict.fromkeys(submissions))
        self._total += len(distinct)
        outcomes: dict[Submission, Outcome] = {}
        for start in range(0, len(distinct), _BATCH):
            batch = distinct[start : start + _BATCH]
            outcomes |= zip(batch, self.pool.verify_all(batch), strict=True)
            self._done += len(batch)
            if self._on_progress is not None:
                self._on_progress(self._done, self._total)
        return [outcomes[submission] for submission in submissions]
