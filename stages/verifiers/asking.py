"""The two verifiers that ask a model: in the process that asks, because a model is loaded or reached once.

They are no functions of their input alone, and say so: everything else in this folder is.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from data_contracts.errors import DataError, StageError
from data_contracts.model_verifiers import JudgeSettings, ModelVerifier, RewardModelSettings
from data_contracts.verdict import Verdict
from stages.verifiers.reading import after_thinking
from stages.verifiers.submission import Outcome, Submission

if TYPE_CHECKING:
    from stages.verifiers.judge import Judge
    from stages.verifiers.reward_model import RewardModel

_CALLS_AT_ONCE = 8


class ModelVerifiers:
    """Reward models and judges by name, each loaded when it is first asked."""

    def __init__(self, settings: Mapping[str, ModelVerifier]) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_CALLS_AT_ONCE, "judge")
        self._under_way: dict[Submission, Future[Outcome]] = {}
        self._judges: dict[str, Judge] = {}
        self._reward_models: dict[str, RewardModel] = {}

    def ask(self, name: str, submissions: Sequence[Submission]) -> list[Outcome]:
        """One outcome each. Raises RecipeError for a reward model or a cache that cannot be opened."""
        settings = self._settings[name]
        if isinstance(settings, JudgeSettings):
            judge = self._judge(name, settings)
            calls = [self._call(judge, submission) for submission in submissions]
            return [call.result() for call in calls]
        with self._lock:  # a tokenizer serves one thread at a time
            return _scored(self._reward_model(name, settings), submissions)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        for judge in self._judges.values():
            judge.close()
        self._judges.clear()

    def _call(self, judge: "Judge", submission: Submission) -> "Future[Outcome]":
        """Two that a judge sees alike are one call while it is under way, so that both hear the same."""
        seen = replace(submission, completion=after_thinking(submission.completion).strip())
        with self._lock:
            if (call := self._under_way.get(seen)) is None:
                call = self._under_way[seen] = self._threads.submit(_asked, judge, submission)
                call.add_done_callback(lambda _: self._under_way.pop(seen))
            return call

    def _judge(self, name: str, settings: JudgeSettings) -> "Judge":
        from stages.verifiers.judge import Judge

        with self._lock:  # a second one would have a budget of its own
            if name not in self._judges:
                self._judges[name] = Judge(settings)
            return self._judges[name]

    def _reward_model(self, name: str, settings: RewardModelSettings) -> "RewardModel":
        from stages.verifiers.reward_model import RewardModel

        return self._reward_models.setdefault(name, RewardModel(settings))


def _asked(judge: "Judge", submission: Submission) -> Outcome:
    began = time.perf_counter()
    try:
        verdict = judge(submission.completion, submission.problem)
    except DataError as fault:
        return Outcome(None, 0.0, fault.found, fault)
    except StageError as error:  # no verdict: the judge is out of reach, out of budget or out of its mind
        return Outcome(None, time.perf_counter() - began, _told(error))
    return Outcome(verdict, time.perf_counter() - began)


def _told(error: StageError) -> str:
    return f"{error.found} {error.do}".rstrip(" .")


def _scored(model: "RewardModel", submissions: Sequence[Submission]) -> list[Outcome]:
    began = time.perf_counter()
    scored = model.score_all([each.prompt for each in submissions], [each.completion for each in submissions])
    seconds = (time.perf_counter() - began) / max(1, len(submissions))
    return [_outcome(each, seconds) for each in scored]


def _outcome(scored: Verdict | DataError | StageError, seconds: float) -> Outcome:
    if isinstance(scored, Verdict):
        return Outcome(scored, seconds)
    if isinstance(scored, DataError):
        return Outcome(None, seconds, scored.found, scored)
    return Outcome(None, seconds, _told(scored))
