"""Verified reward: sample completions of problems, give each its verdict, keep all of it as rows.

One stage with three consumers: it labels preference pairs, it picks the problems worth training on, and it
measures a model. Every number on any screen leads back to these rows.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from data_contracts.canonical import fingerprint
from data_contracts.errors import EmptyResultError
from data_contracts.jobs import RowsInput, StageJob, StageResult
from data_contracts.stage_configs import VerifyConfig
from stages.checkpoint import load_model
from stages.comparison import paired_comparison, pass_at_k, wilson_interval
from stages.handoff import encode_all, require_same_template, stop_token_ids
from stages.mixed_rows import read_mixed_rows
from stages.progress import ProgressFile
from stages.sampling import Sample, sample_completions, sample_with_vllm
from stages.verdicts import VerdictCounter
from stages.verifiers.pool import shared_pool
from stages.verifiers.submission import submission
from stages.written_rows import write_rows

Row = dict[str, Any]

_PROBLEM_COLUMNS = ["problem_id", "prompt", "ground_truth", "verifier", "arguments", "source"]

ROLLOUT_SCHEMA = pa.schema(
    {
        "problem_id": pa.string(),
        "sample": pa.int32(),
        "prompt": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        "ground_truth": pa.string(),
        "verifier": pa.string(),
        "arguments": pa.string(),
        "source": pa.string(),
        "completion": pa.string(),
        "completion_ids": pa.list_(pa.int32()),
        "finished": pa.bool_(),
        "reward": pa.float64(),
        "reason": pa.string(),
        "parts": pa.string(),
        "model": pa.string(),
        "temperature": pa.float64(),
        "top_p": pa.float64(),
    }
)
"""`Rollout` of the data contracts, with the model's fingerprint and how it was sampled."""


def verify_model(job: StageJob, config: VerifyConfig) -> StageResult:
    """Sample from `job.start` and verify. Metrics are prefixed `eval/`."""
    assert job.start is not None and job.base is not None
    problems = _problems(job, config)
    progress = ProgressFile(job.progress_path, "completion")
    counter = VerdictCounter(shared_pool(job.verifiers, job.run.sandbox))
    rollouts: list[Row] = []
    for batch in _samples(job, config, problems):
        asked = [submission(problems[sample.prompt], sample.text) for sample in batch]
        for sample, outcome in zip(batch, counter.verify_all(asked), strict=True):
            if (verdict := outcome.verdict) is not None:
                rollouts.append(
                    {
                        **problems[sample.prompt],
                        "sample": sample.number,
                        "completion": sample.text,
                        "completion_ids": list(sample.token_ids),
                        "finished": sample.finished,
                        "reward": verdict.reward,
                        "reason": verdict.reason,
                        "parts": json.dumps(dict(verdict.parts), sort_keys=True),
                        "model": job.start.fingerprint,
                        "temperature": config.temperature,
                        "top_p": config.top_p,
                    }
                )
        counter.require_few_failures(len(problems) * config.samples)
        progress.report(counter.asked, len(problems) * config.samples, _running(rollouts))
    metrics = {
        **summarise(rollouts, config.samples),
        "eval/without_verdict": counter.share_failed,
        **_compare(job, rollouts),
    }
    table = pa.Table.from_pylist(rollouts, schema=ROLLOUT_SCHEMA)
    return write_rows(job, table, metrics, counter.notes())


def summarise(rollouts: Sequence[Row], samples: int) -> dict[str, float]:
    """Accuracy (share of full rewards) with its Wilson interval, pass@k, lengths, and the split by source."""
    rewards = np.array([row["reward"] for row in rollouts])
    right = rewards == 1.0
    low, high = wilson_interval(int(right.sum()), len(right))
    by_problem: dict[str, list[bool]] = defaultdict(list)
    by_source: dict[str, list[bool]] = defaultdict(list)
    for row, is_right in zip(rollouts, right, strict=True):
        by_problem[row["problem_id"]].append(bool(is_right))
        by_source[row["source"]].append(bool(is_right))
    at_k = [
        pass_at_k(len(flags), sum(flags), samples) for flags in by_problem.values() if len(flags) >= samples
    ]
    metrics = {
        "eval/accuracy": float(right.mean()),
        "eval/accuracy_low": low,
        "eval/accuracy_high": high,
        "eval/reward_mean": float(rewards.mean()),
        f"eval/pass_at_{samples}": float(np.mean(at_k)) if at_k else 0.0,
        "eval/completion_tokens": float(np.mean([len(row["completion_ids"]) for row in rollouts])),
        "eval/finished": float(np.mean([row["finished"] for row in rollouts])),
        "eval/problems": float(len(by_problem)),
        "eval/completions": float(len(rollouts)),
    }
    if len(by_source) > 1:
        metrics |= {f"eval/accuracy/{source}": float(np.mean(f)) for source, f in sorted(by_source.items())}
    return metrics


def _problems(job: StageJob, config: VerifyConfig) -> list[Row]:
    problems = Dataset(read_mixed_rows(job.rows, _PROBLEM_COLUMNS, job.seed).table).to_list()
    if config.limit is not None and config.limit < len(problems):
        chosen = np.random.default_rng(job.seed).permutation(len(problems))[: config.limit]
        problems = [problems[position] for position in sorted(chosen)]
    if not problems:
        raise EmptyResultError("There are no problems to verify on.", "at least one problem")
    return problems


def _samples(job: StageJob, config: VerifyConfig, problems: list[Row]) -> Iterator[list[Sample]]:
    assert job.start is not None and job.base is not None
    tokenizer = require_same_template(job.base.path, job.start.path)
    stops = stop_token_ids(job.start.path, tokenizer)
    prompts = encode_all(tokenizer, [problem["prompt"] for problem in problems], prompt=True)
    # Different stages must not draw alike: the seed follows from what is sampled.
    seed = int(fingerprint([job.seed, job.start.fingerprint, config.samples])[:8], 16)
    if config.sampler == "vllm":
        return sample_with_vllm(str(job.start.path), tokenizer, prompts, config, stops, seed)
    model = load_model(job.start.path, config.dtype).eval()
    if job.run.accelerators:
        model = model.to("cuda")  # pyright: ignore[reportArgumentType]
    return sample_completions(model, tokenizer, prompts, config, stops, seed)


def _running(rollouts: Sequence[Row]) -> dict[str, float]:
    return {"eval/reward_mean": float(np.mean([row["reward"] for row in rollouts]))} if rollouts else {}


def _compare(job: StageJob, rollouts: Sequence[Row]) -> dict[str, float]:
    """Difference to earlier models, paired by problem: `eval/<other>/change` with interval and p."""
    metrics: dict[str, float] = {}
    after = _rewards(rollouts)
    for other in job.compare_with:
        before = _rewards(_read_rewards(other))
        comparison = paired_comparison(before, after, job.seed)
        prefix = f"eval/vs/{other.name}"
        metrics |= {
            f"{prefix}/change": comparison.difference,
            f"{prefix}/change_low": comparison.low,
            f"{prefix}/change_high": comparison.high,
            f"{prefix}/p_value": comparison.p_value,
        }
    return metrics


def _read_rewards(rows: RowsInput) -> list[Row]:
    table = pq.read_table(rows.path, columns=["problem_id", "reward"])  # pyright: ignore[reportUnknownMemberType]
    return table.to_pylist()


def _rewards(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Full rewards as 1, all others as 0, by problem: what accuracy counts."""
    by_problem: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_problem[row["problem_id"]].append(float(row["reward"] == 1.0))
    return by_problem
