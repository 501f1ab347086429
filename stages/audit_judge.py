"""Asks verifiers in batches, each question once, and only for as long as an audit may take."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from stages.verifiers.pool import VerifierPool
from stages.verifiers.submission import Outcome, Submission

OnProgress = Callable[[int, int], None]
"""Called with verdicts had and verdicts known to be needed; the latter grows as cases are made."""

NOT_ASKED = Outcome(None, 0.0, "there was no time to ask")

_FIRST, _MOST = 8, 1000
_SHORT_SECONDS, _LONG_SECONDS = 1.0, 4.0
"""A batch that took less is followed by a larger one, one that took more by a smaller one."""

Item = TypeVar("Item")


class Judge:
    """The pool of an audit."""

    def __init__(self, pool: VerifierPool, on_progress: OnProgress | None) -> None:
        self.pool = pool
        self._on_progress = on_progress
        self._done = self._total = 0
        self.start(0.0)

    def start(self, seconds: float) -> None:
        """From here on ask for so long only; a batch that has begun is finished."""
        self._deadline = time.monotonic() + seconds
        self._size = _FIRST
        self.num_left = 0
        """Questions since then that there was no time for."""

    def batches(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """In order, and no more of them when time is over. Their size follows the time between two of them."""
        position = 0
        while position < len(items) and time.monotonic() < self._deadline:
            batch = items[position : position + self._size]
            began = time.monotonic()
            yield batch
            position += len(batch)
            seconds = time.monotonic() - began
            if seconds < _SHORT_SECONDS:
                self._size = min(_MOST, 2 * self._size)
            elif seconds > _LONG_SECONDS:
                self._size = max(1, self._size // 2)
        self.num_left += len(items) - position

    def verify_all(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """One outcome each, in order, NOT_ASKED where time was over.

        Verifiers are deterministic: equal submissions of one call share their outcome.
        """
        distinct = list(dict.fromkeys(submissions))
        self._total += len(distinct)
        outcomes: dict[Submission, Outcome] = {}
        for batch in self.batches(distinct):
            outcomes |= zip(batch, self.pool.verify_all(batch), strict=True)
            self._done += len(batch)
            if self._on_progress is not None:
                self._on_progress(self._done, self._total)
        return [outcomes.get(submission, NOT_ASKED) for submission in submissions]
