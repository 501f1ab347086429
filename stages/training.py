"""What the three training stages share: arguments of the Trainer, rows, running, resuming, saving."""

import math
import signal
import sys
from collections.abc import Iterable
from typing import Any

from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel, Trainer

from data_contracts.errors import StageError
from data_contracts.jobs import INTERRUPTED_EXIT, StageJob, StageResult
from data_contracts.training_configs import EpochTrainingConfig, LoRA, TrainingConfig
from stages.checkpoint import fingerprint_model, load_adapter, load_model, save_adapter, save_model
from stages.handoff import require_reference
from stages.progress import ProgressCallback
from stages.trainer_checkpoints import Checkpoints

_LOGS_PER_STAGE = 50


def load_policy(job: StageJob, config: TrainingConfig) -> PreTrainedModel | PeftModel:
    """The start's weights: in float32 when all are trained, as `dtype` under an adapter.

    An adapter that is continued comes on the weights it was trained on; TRL keeps a copy of it as reference.
    """
    assert job.start is not None
    if job.adapter_base is None or config.lora is None:
        return load_model(job.start.path, config.dtype if config.lora else "float32")
    require_reference(fingerprint_model(job.adapter_base.path), job.adapter_base.fingerprint)
    return load_adapter(load_model(job.adapter_base.path, config.dtype), job.start.path, config.lora.dropout)


def new_adapter(lora: LoRA | None) -> LoraConfig | None:
    """PEFT's config of the adapter a stage begins, if it begins one."""
    if lora is None or lora.start_adapter == "continue":
        return None
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


def trainer_arguments(job: StageJob, config: TrainingConfig, max_steps: int) -> dict[str, Any]:
    """Arguments every TRL config here shares."""
    return {
        "output_dir": str(job.unfinished_checkpoints_dir),
        "max_steps": max_steps,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if config.schedule == "constant" else config.schedule,
        "warmup_steps": config.warmup_steps,
        "weight_decay": config.weight_decay,
        "adam_beta2": config.adam_beta2,
        "max_grad_norm": config.max_grad_norm,
        "seed": job.seed,
        "data_seed": job.seed,
        "bf16": config.dtype == "bfloat16",
        "use_cpu": job.run.accelerators == 0,
        "gradient_checkpointing": job.run.accelerators > 0,
        "dataloader_pin_memory": job.run.accelerators > 0,
        "save_strategy": "no",
        "logging_steps": max(1, max_steps // _LOGS_PER_STAGE),
        "logging_nan_inf_filter": False,  # or a loss that is no number would be logged as the one before
        "report_to": [],
        "disable_tqdm": True,
    }


def num_steps(config: EpochTrainingConfig, num_rows: int) -> int:
    """Optimizer updates: as given, or the passes over the rows, the last batch of each filled up."""
    if config.steps is not None:
        return config.steps
    assert config.epochs is not None
    return max(1, math.ceil(config.epochs * num_rows / config.global_batch))


def rows_drawn(steps: int, batch: int, given: int) -> int:
    """Rows of so many updates: the last batch of a pass over the rows has what is left of them."""
    passes, rest = divmod(steps, math.ceil(given / batch))
    return passes * given + rest * batch


def drawn_counts(stage: str, drawn: int, given: int) -> dict[str, float]:
    """How much of what it was given the trainer drew: as a number of rows, and of passes over them."""
    return {f"{stage}/rows_drawn": float(drawn), f"{stage}/passes": drawn / given}


def dropped_note(count: int, total: int, what: str) -> list[str]:
    """What a stage says of rows it could not use: one sentence, or none."""
    return [f"{count} of {total} {what} dropped"] if count else []


def require_enough_rows(num_rows: int, needed: int, what: str, dropped: Iterable[str] = ()) -> None:
    """Raise StageError for less than a batch; `dropped` says what became of the others."""
    if num_rows < needed:
        raise StageError(
            "; ".join([f"{num_rows} {what} are left to train on", *dropped]) + ".",
            f"at least {needed}, one whole batch",
            "Give more rows, a larger max_length, or a smaller batch.",
        )


def train(trainer: Trainer, checkpoints: Checkpoints) -> tuple[str, ...]:
    """Train to the end, from the last checkpoint of an interrupted run if there is one; returns notes on that.

    A request to stop (SIGTERM) makes the Trainer return early with a checkpoint written: then this process ends
    with `INTERRUPTED_EXIT`, so that a truncated model is never taken for a finished one. One that an alarm ends
    raises AlarmError or Paused, or goes back.
    """
    watching = checkpoints.watching
    trainer.add_callback(watching)
    trainer.add_callback(checkpoints)
    last = checkpoints.last()
    before = signal.signal(signal.SIGTERM, checkpoints.request_stop)
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        signal.signal(signal.SIGTERM, before)
    if trainer.state.global_step < trainer.state.max_steps and watching.ending is None:
        sys.exit(INTERRUPTED_EXIT)
    notes = watching.finish()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if losses and not math.isfinite(losses[-1]):
        raise StageError(
            f"The loss became {losses[-1]}.",
            "a finite loss",
            "Lower the learning rate, add warm-up steps, or use float32.",
        )
    return (*checkpoints.notes, *notes)


def save_trained(
    trainer: Trainer, job: StageJob, callback: ProgressCallback, extra: dict[str, float], notes: list[str]
) -> StageResult:
    """Write the trained model, an adapter merged into full weights, and describe it."""
    assert job.start is not None
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    job.output_dir.mkdir(parents=True)
    if isinstance(model, PeftModel):
        save_adapter(model, (job.adapter_base or job.start).fingerprint, job.output_dir)
        model = model.merge_and_unload(adapter_names=["default"])
    save_model(model, job.start.path, job.output_dir)
    return StageResult(
        output="model",
        fingerprint=fingerprint_model(job.output_dir),
        metrics={**callback.last, **extra},
        notes=tuple(notes),
    )
