"""Supervised fine-tuning on conversations: the loss touches the assistant's turns and nothing else."""

from typing import Any

from datasets import Dataset
from trl.trainer.sft_config import SFTConfig as TRLConfig
from trl.trainer.sft_trainer import SFTTrainer

from data_contracts.batches import micro_batch_size, rows_per_step, tokens_per_row
from data_contracts.errors import StageError
from data_contracts.jobs import StageJob, StageResult
from data_contracts.training_configs import SFTConfig
from stages.handoff import (
    count_tokens,
    require_end_of_sequence,
    require_loss_mask,
    require_same_template,
    stop_token_ids,
)
from stages.progress import ProgressCallback, ProgressFile
from stages.training import (
    load_policy,
    lora_config,
    num_steps,
    read_mixed_rows,
    require_enough_rows,
    save_trained,
    train,
    trainer_arguments,
)

_CHECKED_ROWS = 32


def train_sft(job: StageJob, config: SFTConfig) -> StageResult:
    """Train `job.start` on the mixed rows with TRL's SFTTrainer."""
    assert job.start is not None and job.base is not None
    tokenizer = require_same_template(job.base.path, job.start.path)
    require_end_of_sequence(job.start.path, tokenizer)
    rows = Dataset(read_mixed_rows(job.rows, ["messages"], job.seed)).to_list()
    conversations = [row["messages"] for row in rows]
    kept = [
        messages
        for messages, tokens in zip(conversations, count_tokens(tokenizer, conversations), strict=True)
        if config.packing or tokens <= config.max_length
    ]
    dropped = len(conversations) - len(kept)
    require_enough_rows(len(kept), config.global_batch, "conversations")
    micro_batch = micro_batch_size(rows_per_step(config), tokens_per_row(config), job.run)
    progress = ProgressCallback(ProgressFile(job.progress_path), "sft")
    trainer = SFTTrainer(
        model=load_policy(job, config),
        args=TRLConfig(
            **trainer_arguments(job, config, num_steps(config, len(kept))),
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=config.global_batch // micro_batch,
            max_length=config.max_length,
            packing=config.packing,
            **_loss_on_completions(kept),
        ),
        train_dataset=Dataset.from_list(_rows_for_trainer(kept)),
        processing_class=tokenizer,
        peft_config=lora_config(config.lora),
        callbacks=[progress],
    )
    if not config.packing:
        _require_masks(trainer, kept, stop_token_ids(job.start.path, tokenizer))
    train(trainer)
    notes = [
        f"{dropped} of {len(conversations)} conversations longer than {config.max_length} tokens dropped"
    ]
    return save_trained(trainer, job, progress, {"sft/rows": float(len(kept))}, notes if dropped else [])


def _is_single_turn(conversations: list[list[dict[str, str]]]) -> bool:
    return all(sum(m["role"] == "assistant" for m in messages) == 1 for messages in conversations)


def _loss_on_completions(conversations: list[list[dict[str, str]]]) -> dict[str, Any]:
    # One assistant turn: prompt and completion, which every chat template can render. Several: the template
    # must mark them itself, and TRL patches the well-known ones.
    if _is_single_turn(conversations):
        return {"completion_only_loss": True}
    return {"assistant_only_loss": True}


def _rows_for_trainer(conversations: list[list[dict[str, str]]]) -> list[dict[str, Any]]:
    if _is_single_turn(conversations):
        return [{"prompt": messages[:-1], "completion": messages[-1:]} for messages in conversations]
    return [{"messages": messages} for messages in conversations]


def _require_masks(trainer: SFTTrainer, conversations: list[list[dict[str, str]]], stops: set[int]) -> None:
    prepared: Any = trainer.train_dataset
    tokenizer: Any = trainer.processing_class
    if len(prepared) != len(conversations):
        raise StageError(
            f"TRL prepared {len(prepared)} of {len(conversations)} conversations.",
            "all of them, since too long ones were dropped before",
            "Please report this recipe.",
        )
    for position, messages in enumerate(conversations[:_CHECKED_ROWS]):
        row = prepared[position]
        completions = [m["content"] for m in messages if m["role"] == "assistant"]
        require_loss_mask(tokenizer, row["input_ids"], row["labels"], completions, stops)
