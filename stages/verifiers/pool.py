"""One pool of worker processes for all verifiers of a process: no verdict waits for another's.

What a verifier decides at once never leaves the calling process, so a pool of quick verifiers starts no worker.
"""

import json
import os
import queue
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType

from data_contracts.errors import DataError, RecipeError
from data_contracts.stage_configs import Containment
from data_contracts.verdict import Verdict
from stages.verifiers.asking import ModelVerifiers
from stages.verifiers.catalog import AddedVerifier, Catalog
from stages.verifiers.composite import Term, combine, term_name
from stages.verifiers.shipped import COMPOSITE_NAME
from stages.verifiers.submission import Outcome, Submission
from stages.verifiers.worker import Worker

MAX_CHARACTERS = 400_000
"""Of a completion, some 100,000 tokens. A longer one gets reward 0 unread, whatever its verifier."""


_MOST_AT_ONCE = 32
_PARTS_A_WORKER = 4


class VerifierPool:
    """Judges submissions; a context manager. Threads may share it, forked processes may not."""

    def __init__(self, catalog: Catalog, num_workers: int | None = None) -> None:
        self.catalog = catalog
        self._num_workers = num_workers or len(os.sched_getaffinity(0))
        self._workers = [Worker(catalog) for _ in range(self._num_workers)]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(self._num_workers, "verifier")
        self._models = ModelVerifiers(catalog.models)

    def __enter__(self) -> "VerifierPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._models.close()
        for worker in self._workers:
            worker.close()

    def verify(self, submission: Submission) -> Outcome:
        return self.verify_all([submission])[0]

    def verify_all(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """One outcome each, in order. Raises RecipeError for an unknown verifier, StageError where none starts."""
        terms = [self._terms(submission) for submission in submissions]
        outcomes = iter(
            self._judged([term for part in terms if not isinstance(part, Outcome) for term in part])
        )
        return [
            part if isinstance(part, Outcome) else self._combined(submission, [next(outcomes) for _ in part])
            for submission, part in zip(submissions, terms, strict=True)
        ]

    def _judged(self, submissions: Sequence[Submission]) -> list[Outcome]:
        outcomes = [self._quick(submission) for submission in submissions]
        open_ = [position for position, outcome in enumerate(outcomes) if outcome is None]
        to_models: dict[str, list[int]] = defaultdict(list)
        to_workers: list[int] = []
        for position in open_:
            name = submissions[position].verifier
            (to_models[name] if name in self.catalog.models else to_workers).append(position)
        size = max(1, min(_MOST_AT_ONCE, len(to_workers) // (_PARTS_A_WORKER * self._num_workers)))
        parts = [to_workers[start : start + size] for start in range(0, len(to_workers), size)]
        judged = self._threads.map(lambda part: self._in_worker([submissions[i] for i in part]), parts)
        asked = (self._models.ask(name, [submissions[i] for i in part]) for name, part in to_models.items())
        for part, answers in (*zip(to_models.values(), asked, strict=True), *zip(parts, judged, strict=True)):
            for position, answer in zip(part, answers, strict=True):
                outcomes[position] = answer
        return [outcome for outcome in outcomes if outcome is not None]

    def _quick(self, submission: Submission) -> Outcome | None:
        if (length := len(submission.completion)) > MAX_CHARACTERS:
            reason = f"the completion has {length:,} characters, more than {MAX_CHARACTERS:,}"
            return Outcome(Verdict(0.0, reason), 0.0)
        began = time.perf_counter()
        try:
            verdict = self.catalog.quick(submission)
        except DataError as fault:
            return Outcome(None, 0.0, fault.found, fault)
        return Outcome(verdict, time.perf_counter() - began) if verdict is not None else None

    def _in_worker(self, submissions: list[Submission]) -> list[Outcome]:
        worker = self._idle.get()
        try:
            return worker.judge(submissions)
        finally:
            self._idle.put(worker)

    def _terms(self, submission: Submission) -> list[Submission] | Outcome:
        """The submission itself, or what a composite is made of; an outcome where that cannot be read."""
        if submission.verifier != COMPOSITE_NAME:
            return [submission]
        try:
            terms = self.catalog.arguments(submission.verifier, submission.arguments)["terms"]
            for term in terms:
                self.catalog.find(term["verifier"])
        except DataError as fault:
            return Outcome(None, 0.0, fault.found, fault)
        except RecipeError as unknown:  # a row names terms, and no recipe
            fault = DataError(unknown.found, unknown.expected, unknown.do)
            return Outcome(None, 0.0, fault.found, fault)
        return [
            replace(
                submission,
                verifier=term["verifier"],
                arguments=json.dumps(term.get("arguments", {})),
                ground_truth=term.get("ground_truth", submission.ground_truth),
            )
            for term in terms
        ]

    def _combined(self, submission: Submission, outcomes: list[Outcome]) -> Outcome:
        if submission.verifier != COMPOSITE_NAME:
            return outcomes[0]
        arguments = self.catalog.arguments(submission.verifier, submission.arguments)
        for term, outcome in zip(arguments["terms"], outcomes, strict=True):
            if outcome.verdict is None:
                return replace(outcome, failure=f"{term_name(term)}: {outcome.failure}")
        terms = [
            Term(term_name(term), term["weight"], outcome.verdict)
            for term, outcome in zip(arguments["terms"], outcomes, strict=True)
            if outcome.verdict is not None
        ]
        verdict = combine(arguments.get("how", "gate"), arguments.get("gate"), terms)
        return Outcome(verdict, sum(outcome.seconds for outcome in outcomes))


_shared: dict[tuple[int, str], VerifierPool] = {}


def shared_pool(
    added: Mapping[str, AddedVerifier] | None = None, sandbox: Containment = "strong"
) -> VerifierPool:
    """This process's pool for the verifiers of a recipe, which stays until the process ends."""
    key = (os.getpid(), repr((sorted((added or {}).items(), key=lambda item: item[0]), sandbox)))
    if key not in _shared:
        _shared.setdefault(key, VerifierPool(Catalog(added, sandbox)))  # of two threads' pools one stays
    return _shared[key]
