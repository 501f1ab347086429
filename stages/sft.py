"""Supervised fine-tuning on conversations: the loss touches the assistant's turns and nothing else."""

from functools import partial
from typing import Any

import pyarrow as pa
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl.chat_template_utils import get_training_chat_template, has_generation_markers
from trl.data_utils import common_prefix_length, pack_dataset
from trl.trainer.sft_config import SFTConfig as TRLConfig
from trl.trainer.sft_trainer import SFTTrainer

from data_contracts.batches import micro_batch_size, rows_per_step, tokens_per_row
from data_contracts.errors import LossMaskError
from data_contracts.jobs import StageJob, StageResult
from data_contracts.training_configs import SFTConfig
from stages.handoff import (
    IGNORED,
    encode_all,
    require_end_of_sequence,
    require_loss_mask,
    require_same_template,
    stop_token_ids,
)
from stages.looks import Looks, looks_every
from stages.mixed_rows import read_mixed_rows, sources_of, write_training_rows
from stages.progress import ProgressCallback, ProgressFile
from stages.source_losses import SourceLosses
from stages.trainer_checkpoints import Checkpoints
from stages.training import (
    drawn_counts,
    dropped_note,
    load_policy,
    new_adapter,
    num_steps,
    require_enough_rows,
    rows_drawn,
    save_trained,
    train,
    trainer_arguments,
)
from stages.watching import Watching

_CHECKED_ROWS = 32


def train_sft(job: StageJob, config: SFTConfig) -> StageResult:
    """Train `job.start` on the mixed rows with TRL's SFTTrainer."""
    assert job.start is not None and job.base is not None
    tokenizer = require_same_template(job.base.path, job.start.path)
    require_end_of_sequence(job.start.path, tokenizer)
    conversations, dropped = _read_conversations(job, config, tokenizer)
    require_enough_rows(len(conversations), 1, "conversations", dropped)
    _require_masks(tokenizer, conversations, stop_token_ids(job.start.path, tokenizer))
    sequences = conversations.select_columns(["input_ids", "labels"])
    if config.packing:
        sequences = pack_dataset(sequences, config.max_length)
    require_enough_rows(len(sequences), config.global_batch, "sequences", dropped)
    micro_batch = micro_batch_size(rows_per_step(config), tokens_per_row(config), job.run)
    steps = num_steps(config, len(sequences))
    progress = ProgressCallback(ProgressFile(job.progress_path), "sft")
    trainer = SFTTrainer(
        model=load_policy(job, config),
        args=TRLConfig(
            **trainer_arguments(job, config, steps),
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=config.global_batch // micro_batch,
            max_length=config.max_length,
            packing=config.packing,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=sequences,
        processing_class=tokenizer,
        peft_config=new_adapter(config.lora),
        callbacks=[progress],
    )
    every, losses = looks_every(steps), SourceLosses(conversations, micro_batch, job.seed)
    trainer.add_callback(Looks(trainer, every, {"sources": losses}, progress))
    watching = Watching(trainer, job, config, progress, every)
    notes = [*dropped, *train(trainer, Checkpoints(trainer, job, watching))]
    counts = {"sft/rows": float(len(conversations)), "sft/sequences": float(len(sequences))}
    counts |= drawn_counts(
        "sft", rows_drawn(trainer.state.global_step, config.global_batch, len(sequences)), len(sequences)
    )
    return save_trained(trainer, job, progress, counts, notes)


def _read_conversations(
    job: StageJob, config: SFTConfig, tokenizer: PreTrainedTokenizerBase
) -> tuple[Dataset, list[str]]:
    """Conversations fit to train on, with `input_ids` and `labels`; and how many were dropped, and why."""
    mixed = read_mixed_rows(job.rows, ["messages"], job.seed)
    rows = Dataset(mixed.table.append_column("source", sources_of(job.rows, mixed)))
    tokenized = rows.map(partial(_tokenize, tokenizer=tokenizer), batched=True)
    table: pa.Table = tokenized.data.table
    is_clean = ~table["has_special"].to_numpy()
    fits = table["num_tokens"].to_numpy() <= config.max_length
    too_long, special = int((~fits).sum()), int((fits & ~is_clean).sum())
    notes = [
        *dropped_note(too_long, len(rows), f"conversations longer than {config.max_length} tokens"),
        *dropped_note(special, len(rows), "conversations with a special token in their text"),
    ]
    write_training_rows(job, mixed, fits & is_clean)
    return Dataset(table.filter(pa.array(fits & is_clean))), notes


def _tokenize(batch: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Token ids, and labels that leave out everything before the last turn, or between several.

    A special token spelled out in a message would become that token: such rows are marked, to be dropped.
    """
    conversations = batch["messages"]
    all_ids = encode_all(tokenizer, conversations)
    prompts = encode_all(tokenizer, [messages[:-1] for messages in conversations], prompt=True)
    begins = [common_prefix_length(prompt, ids) for prompt, ids in zip(prompts, all_ids, strict=True)]
    labels = [[IGNORED] * begin + ids[begin:] for begin, ids in zip(begins, all_ids, strict=True)]
    several = [number for number, messages in enumerate(conversations) if _num_completions(messages) > 1]
    if several:
        marked = _encode_marked(tokenizer, [conversations[number] for number in several])
        for number, (ids, its_labels) in zip(several, marked, strict=True):
            all_ids[number], labels[number] = ids, its_labels
    return {
        "input_ids": all_ids,
        "labels": labels,
        "num_tokens": [len(ids) for ids in all_ids],
        "has_special": [_has_special(tokenizer, messages) for messages in conversations],
    }


def _has_special(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> bool:
    return any(token in m["content"] for m in messages for token in tokenizer.all_special_tokens)


def _num_completions(messages: list[dict[str, str]]) -> int:
    return sum(message["role"] == "assistant" for message in messages)


def _encode_marked(
    tokenizer: PreTrainedTokenizerBase, conversations: list[list[dict[str, str]]]
) -> list[tuple[list[int], list[int]]]:
    """Ids and labels by the template's own marks of the assistant's part; TRL knows those of many models."""
    template: Any = tokenizer.chat_template
    if not has_generation_markers(template):
        try:
            template = get_training_chat_template(tokenizer)
        except ValueError as error:
            raise LossMaskError(
                "A conversation has several turns of the assistant, which the chat template does not mark.",
                "{% generation %} round the assistant's part, or a template that TRL knows",
                "Mark it, or give rows with one completion each.",
            ) from error
    encoded: Any = tokenizer.apply_chat_template(
        conversations,
        chat_template=template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return [
        (ids, [token if is_marked else IGNORED for token, is_marked in zip(ids, mask, strict=True)])
        for ids, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    ]


def _require_masks(tokenizer: PreTrainedTokenizerBase, conversations: Dataset, stops: set[int]) -> None:
    for row in conversations.select(range(min(_CHECKED_ROWS, len(conversations)))).to_list():
        completions = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
        require_loss_mask(tokenizer, row["input_ids"], row["labels"], completions, stops)
