"""Direct preference optimization against the model the stage starts from, length-normalized by default."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset, concatenate_datasets
from trl.trainer.dpo_config import DPOConfig as TRLConfig
from trl.trainer.dpo_trainer import DPOTrainer

from data_contracts.batches import micro_batch_size, tokens_per_row
from data_contracts.jobs import StageJob, StageResult
from data_contracts.training_configs import DPOConfig
from stages.checkpoint import fingerprint_model
from stages.durable import publish
from stages.handoff import (
    encode_all,
    require_end_of_sequence,
    require_first_loss,
    require_reference,
    require_same_template,
)
from stages.looks import looks_every
from stages.mixed_rows import read_mixed_rows, write_training_rows
from stages.progress import ProgressCallback, ProgressFile
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


def train_dpo(job: StageJob, config: DPOConfig) -> StageResult:
    """Prefer chosen over rejected completions with TRL's DPOTrainer."""
    assert job.start is not None and job.base is not None
    tokenizer = require_same_template(job.base.path, job.start.path)
    require_end_of_sequence(job.start.path, tokenizer)
    require_reference(fingerprint_model(job.start.path), job.start.fingerprint)
    mixed = read_mixed_rows(job.rows, ["prompt", "chosen", "rejected"], job.seed)
    pairs = [
        {"prompt": row["prompt"], **{side: _completion(row[side]) for side in ("chosen", "rejected")}}
        for row in Dataset(mixed.table).to_list()
    ]
    chosen, rejected = (
        encode_all(tokenizer, [[*pair["prompt"], *pair[side]] for pair in pairs])
        for side in ("chosen", "rejected")
    )
    fits = np.array([max(map(len, both)) <= config.max_length for both in zip(chosen, rejected, strict=True)])
    kept = [pair for pair, is_kept in zip(pairs, fits, strict=True) if is_kept]
    write_training_rows(job, mixed, fits)
    notes = dropped_note(len(pairs) - len(kept), len(pairs), f"pairs longer than {config.max_length} tokens")
    require_enough_rows(len(kept), 1, "preference pairs", notes)
    steps = num_steps(config, len(kept))
    batch = min(config.global_batch, len(kept))
    micro_batch = micro_batch_size(batch, tokens_per_row(config), job.run)
    progress = ProgressCallback(ProgressFile(job.progress_path), "dpo")
    trainer = _CachedReferenceTrainer(
        cache=job.reference_cache_dir / f"{_reference_key(job, config)}.parquet",
        model=load_policy(job, config),
        args=TRLConfig(
            **trainer_arguments(job, config, steps),
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=batch // micro_batch,
            max_length=config.max_length,
            loss_type=[config.loss],
            beta=config.beta,
            precompute_ref_log_probs=True,
        ),
        train_dataset=Dataset.from_list(kept),
        processing_class=tokenizer,
        peft_config=new_adapter(config.lora),
        callbacks=[progress],
    )
    first_loss = _first_loss(trainer)
    require_first_loss(first_loss)
    watching = Watching(trainer, job, config, progress, looks_every(steps))
    notes += train(trainer, Checkpoints(trainer, job, watching))
    if batch < config.global_batch:
        notes.append(f"a batch of {batch} pairs instead of {config.global_batch}: there are no more")
    counts = {"dpo/first_loss": first_loss, "dpo/pairs": float(len(kept))}
    for side, ids in (("chosen", chosen), ("rejected", rejected)):
        counts[f"dpo/lengths/{side}"] = float(np.mean([len(each) for each in ids]))
    counts |= drawn_counts("dpo", rows_drawn(trainer.state.global_step, batch, len(kept)), len(kept))
    return save_trained(trainer, job, progress, counts, notes)


def _completion(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _reference_key(job: StageJob, config: DPOConfig) -> str:
    """Weights, rows and what shapes the log-probabilities of one on the other."""
    assert job.start is not None
    rows = [(r.fingerprint, r.weight) for r in job.rows]
    parts = (job.start.fingerprint, rows, config.max_length, config.dtype, job.seed, config.lora)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _first_loss(trainer: DPOTrainer) -> float:
    """Loss of one micro-batch before any update; dropout is off, as DPO trains without it."""
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad(), trainer.accelerator.autocast():
        loss: Any = trainer.compute_loss(trainer.model, batch)  # pyright: ignore[reportArgumentType]
    trainer._metrics["train"].clear()  # pyright: ignore[reportPrivateUsage]
    return float(loss)


class _CachedReferenceTrainer(DPOTrainer):
    """Keeps reference log-probabilities in a file, so that another beta or learning rate reuses them."""

    def __init__(self, *, cache: Path, **kwargs: Any) -> None:
        self._cache = cache
        super().__init__(**kwargs)

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        columns = ["ref_chosen_logps", "ref_rejected_logps"]
        if self._cache.is_file():
            known = pq.read_table(self._cache)  # pyright: ignore[reportUnknownMemberType]
            if known.num_rows == len(dataset):
                return concatenate_datasets([dataset, Dataset(known)], axis=1)
        computed = super()._precompute_ref_logps(dataset, name, batch_size)
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._cache.with_name(f".{os.getpid()}.{time.monotonic_ns()}.tmp")
        table: pa.Table = computed.select_columns(columns).with_format("arrow")[:]
        pq.write_table(table, temporary)  # pyright: ignore[reportUnknownMemberType]
        publish(temporary, self._cache)
        return computed
