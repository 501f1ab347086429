"""The reward of GRPO: TRL's reward function over the pool of verifiers, with every completion kept as a row."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.training_configs import GRPOConfig
from data_contracts.verdict import Verdict
from stages.diversity import distinct_2, groups_of, self_similarity
from stages.durable import publish
from stages.reward_terms import joined_verdict, reward_submissions
from stages.verdicts import VerdictCounter
from stages.verifiers.submission import Outcome
from stages.verify import ROLLOUT_SCHEMA

Row = Mapping[str, Any]
LogMetric = Callable[[str, float], None]

TRAINING_ROLLOUT_SCHEMA = ROLLOUT_SCHEMA.append(pa.field("step", pa.int32()))
"""`step` is the number of optimizer updates the policy had behind it when it wrote the completion."""


class VerifiedReward:
    """One reward in [0, 1] for each completion; a callable as TRL's GRPOTrainer wants it.

    Logs the mean of every term and part, the share of full ones, and how alike completions of a prompt are.
    Writes a file of rollouts per round of sampling, named by its step and on the disk before a checkpoint
    follows: a stage that continues repeats the rounds after its checkpoint, and writes each again instead of
    twice.
    """

    __name__ = "verified"

    def __init__(
        self, config: GRPOConfig, counter: VerdictCounter, folder: Path, start: str, stops: set[int]
    ) -> None:
        """`start` is the fingerprint of the model that training began from, `stops` the ids that end a completion."""
        self._config, self._counter, self._folder, self._start = config, counter, folder, start
        self._stops = stops

    def __call__(
        self,
        prompts: Sequence[list[dict[str, str]]],
        completions: Sequence[list[dict[str, str]]],
        completion_ids: Sequence[Sequence[int]],
        trainer_state: Any,
        log_metric: LogMetric,
        **columns: Any,
    ) -> list[float | None]:
        """None where there is no verdict. `columns` are the problems', one value per completion."""
        names = ("problem_id", "ground_truth", "verifier", "arguments", "source")
        problems = [
            {"prompt": prompt, **dict(zip(names, values, strict=True))}
            for prompt, *values in zip(prompts, *(columns[name] for name in names), strict=True)
        ]
        texts = [completion[-1]["content"] for completion in completions]
        asked = [
            term
            for problem, text in zip(problems, texts, strict=True)
            for term in reward_submissions(problem, text, self._config.rewards, self._counter.catalog)
        ]
        width = len(self._config.rewards)
        outcomes = self._counter.verify_all(asked, width)
        self._counter.require_few_failures()
        verdicts = [
            self._combined(problem, outcomes[start : start + width])
            for problem, start in zip(problems, range(0, len(outcomes), width), strict=True)
        ]
        _log_parts(verdicts, log_metric)
        _log_diversity(problems, completion_ids, log_metric)
        log_metric("reward/verdict_seconds", float(np.mean([outcome.seconds for outcome in outcomes])))
        log_metric("reward/without_verdict", verdicts.count(None) / len(verdicts))
        self._write(problems, texts, completion_ids, verdicts, trainer_state.global_step)
        return [None if verdict is None else verdict.reward for verdict in verdicts]

    def _combined(self, problem: Row, outcomes: Sequence[Outcome]) -> Verdict | None:
        verdict = joined_verdict(outcomes, self._config.rewards, self._config.combine)
        if verdict is None:
            return None
        share = self._config.source_weights.get(problem["source"], 1.0)
        return Verdict(verdict.reward * share, verdict.reason, verdict.parts)

    def _write(
        self,
        problems: Sequence[Row],
        texts: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        verdicts: Sequence[Verdict | None],
        step: int,
    ) -> None:
        number: dict[str, int] = defaultdict(int)
        rows: list[dict[str, Any]] = []
        for problem, text, ids, verdict in zip(problems, texts, completion_ids, verdicts, strict=True):
            sample = number[problem["problem_id"]]
            number[problem["problem_id"]] += 1
            if verdict is not None:
                rows.append(
                    {
                        **problem,
                        "sample": sample,
                        "completion": text,
                        "completion_ids": list(ids),
                        "finished": bool(ids) and ids[-1] in self._stops,
                        "reward": verdict.reward,
                        "reason": verdict.reason,
                        "parts": json.dumps(dict(verdict.parts), sort_keys=True),
                        "model": self._start,
                        "temperature": self._config.temperature,
                        "top_p": self._config.top_p,
                        "step": step,
                    }
                )
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / f"{step:08}.parquet"
        temporary = self._folder / f".{step:08}.tmp"  # a name that readers of the folder pass over
        pq.write_table(pa.Table.from_pylist(rows, TRAINING_ROLLOUT_SCHEMA), temporary, compression="zstd")
        publish(temporary, target)


def _log_parts(verdicts: Sequence[Verdict | None], log_metric: LogMetric) -> None:
    parts: dict[str, list[float]] = defaultdict(list)
    for verdict in verdicts:
        for name, value in verdict.parts.items() if verdict else ():
            parts[name].append(value)
    for name, values in sorted(parts.items()):
        log_metric(f"reward/{name}", float(np.mean(values)))
        log_metric(f"reward/{name}_rate", float(np.mean([value == 1.0 for value in values])))


def _log_diversity(problems: Sequence[Row], ids: Sequence[Sequence[int]], log_metric: LogMetric) -> None:
    groups = groups_of([problem["problem_id"] for problem in problems], ids)
    log_metric("distinct_2", float(np.mean([distinct_2(group) for group in groups])))
    log_metric("self_similarity", float(np.mean([self_similarity(group) for group in groups])))
