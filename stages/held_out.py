"""The truth beside the reward: accuracy on problems that the policy never trains on, by the strictest metric.

A reward can be earned in ways that are no better answers (Gao et al., arXiv 2210.10760): where it rises and this
does not, that is what happens.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from data_contracts.jobs import StageJob
from data_contracts.stage_configs import SamplingConfig
from data_contracts.training_configs import GRPOConfig, HeldOutConfig
from stages.comparison import wilson_interval
from stages.handoff import encode_all, stop_token_ids
from stages.mixed_rows import read_mixed_rows
from stages.reward_terms import judged_by
from stages.sampling import sample_completions
from stages.verdicts import VerdictCounter
from stages.verifiers.submission import submission

_COLUMNS = ["problem_id", "prompt", "ground_truth", "verifier", "arguments", "source"]
_BATCH = 256


class HeldOut:
    """Measures accuracy with its Wilson interval, the same problems and the same draws at every look."""

    def __init__(
        self, job: StageJob, config: GRPOConfig, tokenizer: PreTrainedTokenizerBase, counter: VerdictCounter
    ) -> None:
        assert config.held_out is not None and job.start is not None
        self._tokenizer, self._counter, self._seed = tokenizer, counter, job.seed
        self._stops = stop_token_ids(job.start.path, tokenizer)
        self._problems = _chosen(job, config.held_out, counter)
        self._prompts = encode_all(tokenizer, [each["prompt"] for each in self._problems], prompt=True)
        self._sampling = SamplingConfig(
            temperature=config.held_out.temperature,
            max_completion_length=config.max_completion_length,
            batch=_BATCH,
        )

    def __call__(self, model: Any) -> Mapping[str, float]:
        """`held_out/accuracy`, `_low` and `_high`."""
        right: list[bool] = []
        batches = sample_completions(
            model, self._tokenizer, self._prompts, self._sampling, self._stops, self._seed
        )
        for batch in batches:
            asked = [submission(self._problems[sample.prompt], sample.text) for sample in batch]
            for sample, outcome in zip(batch, self._counter.verify_all(asked), strict=True):
                if outcome.verdict is not None:
                    right.append(outcome.verdict.reward == 1.0 and sample.finished)
        low, high = wilson_interval(sum(right), len(right))
        accuracy = sum(right) / len(right)
        return {"held_out/accuracy": accuracy, "held_out/accuracy_low": low, "held_out/accuracy_high": high}


def _chosen(job: StageJob, config: HeldOutConfig, counter: VerdictCounter) -> list[dict[str, Any]]:
    problems = Dataset(read_mixed_rows(job.compare_with, _COLUMNS, job.seed).table).to_list()
    if config.limit < len(problems):
        chosen = np.random.default_rng(job.seed).permutation(len(problems))[: config.limit]
        problems = [problems[position] for position in sorted(chosen)]
    if config.verifier is None:
        return problems
    return [dict(judged_by(each, config.verifier, counter.catalog, {})) for each in problems]
