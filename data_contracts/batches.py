"""Batch arithmetic: one place, used before a run (to refuse it) and inside a stage (to do it)."""

from data_contracts.errors import RecipeError
from data_contracts.stage_configs import RunSettings
from data_contracts.training_configs import DPOConfig, GRPOConfig, SFTConfig

_TOKENS_PER_MICRO_BATCH = 16_384
"""What `micro_batch: auto` aims at; a longer row than this is a micro-batch of its own."""


def rows_per_step(config: SFTConfig | DPOConfig | GRPOConfig) -> int:
    """Rows of one optimizer update: conversations, pairs, or completions."""
    if isinstance(config, GRPOConfig):
        return config.prompts_per_step * config.group_size
    return config.global_batch


def tokens_per_row(config: SFTConfig | DPOConfig | GRPOConfig) -> int:
    """The most tokens one row can hold."""
    if isinstance(config, GRPOConfig):
        return config.max_prompt_length + config.max_completion_length
    return config.max_length * (2 if isinstance(config, DPOConfig) else 1)


def micro_batch_size(batch: int, row_tokens: int, run: RunSettings) -> int:
    """Rows per forward pass: the largest divisor of the batch within the token budget.

    Raises RecipeError for a number that does not divide it.
    """
    if run.micro_batch == "auto":
        limit = max(1, _TOKENS_PER_MICRO_BATCH // row_tokens)
        return max(size for size in range(1, min(batch, limit) + 1) if batch % size == 0)
    if batch % run.micro_batch:
        raise RecipeError(
            f"run.micro_batch = {run.micro_batch} does not divide a batch of {batch} rows "
            f"({batch} = {batch // run.micro_batch} * {run.micro_batch} + {batch % run.micro_batch}).",
            f"a divisor of {batch}",
            "Set run.micro_batch, or leave it at auto.",
        )
    return run.micro_batch
