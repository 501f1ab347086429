"""Checkpoints of a Trainer: a stage that was interrupted ends with the weights of one that was not.

The Trainer saves weights, optimizer, scheduler, random states and its position in the rows. It forgets what it
has added up since it last logged, and GRPO's sampler starts every process with its first order of the problems:
both are put right here. Checkpoints are written between two updates only (GRPO: between two rounds of sampling,
as a round's completions are not saved), never inside one, where random numbers have been drawn already.
"""

import logging
import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint, sort_checkpoints
from trl.trainer.utils import RepeatSampler

from data_contracts.alarms import Alarm
from data_contracts.jobs import Report, StageJob
from data_contracts.stage_configs import RunSettings
from stages.durable import publish
from stages.verdicts import VerdictCounter
from stages.watching import Watching

_CARRIED_FILE = "carried.json"
_PACKAGES = ("torch", "transformers", "trl", "peft")

logger = logging.getLogger(__name__)


class _Carried(Report):
    """What lies beside the Trainer's own files in a checkpoint."""

    inputs: tuple[str, ...]
    """Content of the models and rows that went in: other content, and the checkpoint is of another training."""

    circumstances: dict[str, str]
    """What should not, but may decide the last bits of a sum: threads, device, libraries."""

    notes: tuple[str, ...]
    """How circumstances changed at earlier interruptions."""

    seconds: float
    """Since the stage began, interruptions left out."""

    loss_since_log: float
    loss_before: float
    logged_step: int
    metrics: dict[str, list[float]]
    """Since the last log."""

    tokens: int
    verdicts_asked: int = 0
    verdicts_failed: int = 0
    watch: dict[str, Any]
    """What the alarms' rules know."""

    alarms: tuple[Alarm, ...]
    entropy_bonus: float


class Checkpoints(TrainerCallback):
    """Asks a Trainer to save when it is due, publishes what it saved, and restores what it forgot."""

    def __init__(
        self,
        trainer: Trainer,
        job: StageJob,
        watching: Watching,
        *,
        round_steps: int = 1,
        verdicts: VerdictCounter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`round_steps` are the updates that one round of sampling feeds: only their multiples can be saved."""
        self._trainer: Any = trainer
        self._job, self.watching, self._progress = job, watching, watching.progress_file
        self._round_steps, self._verdicts = round_steps, verdicts
        self._clock = clock
        self._inputs = _inputs(job)
        self._circumstances = _circumstances(trainer.args)
        self._is_stopping = False
        self._saved_at, self._saved_step = clock(), 0
        self._carried: _Carried | None = None
        self.notes: tuple[str, ...] = ()
        """Sentences for the stage's result."""

    def last(self) -> Path | None:
        """The newest checkpoint, to continue from. What is half-written or of other inputs is removed."""
        shutil.rmtree(self._job.unfinished_checkpoints_dir)
        self._job.unfinished_checkpoints_dir.mkdir()
        for path in self._job.checkpoints_dir.glob("checkpoint-*"):
            if _read(path).inputs != self._inputs:
                self._remove(path)
        found = get_last_checkpoint(str(self._job.checkpoints_dir))
        if found is None:
            return None
        self._carried = _read(Path(found))
        return Path(found)

    def request_stop(self, *_: object) -> None:
        """A handler of SIGTERM: save and stop after this update, or after this round of sampling.

        Whoever asks kills the process after `STOP_SECONDS` when the round lasts longer: then the last checkpoint
        counts, as after any other kill, and what came after it is done again.
        """
        self._is_stopping = True

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._saved_at, self._saved_step = self._clock(), state.global_step
        carried, trainer = self._carried, self._trainer
        if carried is None:
            return
        trainer._tr_loss.fill_(carried.loss_since_log)
        trainer._total_loss_scalar = carried.loss_before
        trainer._globalstep_last_logged = carried.logged_step
        trainer._initial_global_step = 0
        trainer._metrics["train"].update(carried.metrics)
        trainer._total_train_tokens = carried.tokens
        self._progress.began_earlier(carried.seconds)
        if self._verdicts:
            self._verdicts.asked, self._verdicts.failed = carried.verdicts_asked, carried.verdicts_failed
        self.watching.restore(carried.watch, carried.alarms, carried.entropy_bonus)
        self.notes = (
            *carried.notes,
            *_changed(carried.circumstances, self._circumstances, state.global_step),
        )
        _draw_earlier_orders(kwargs["train_dataloader"], passes=int(state.epoch))
        logger.info("continuing after step %d", state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step % self._round_steps or state.global_step >= state.max_steps:
            return
        seconds, steps = self._clock() - self._saved_at, state.global_step - self._saved_step
        is_stopping = self._is_stopping or self.watching.is_pausing
        is_wanted = self.watching.wants_checkpoint(steps)
        control.should_save = is_stopping or is_wanted or is_due(self._job.run, seconds, steps)
        control.should_training_stop = control.should_training_stop or is_stopping

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The Trainer has written its part: add ours, and make it count by giving it its name."""
        name = f"checkpoint-{state.global_step}"
        written = self._job.unfinished_checkpoints_dir / name
        (written / _CARRIED_FILE).write_text(self._carry().model_dump_json())
        publish(written, self._job.checkpoints_dir / name)
        if not self.watching.can_go_back:
            for old in sort_checkpoints(str(self._job.checkpoints_dir))[: -self._job.run.keep_checkpoints]:
                self._remove(Path(old))
        self._saved_at, self._saved_step = self._clock(), state.global_step

    def _remove(self, checkpoint: Path) -> None:
        """By its name first: half of a checkpoint never bears one."""
        shutil.rmtree(checkpoint.rename(self._job.unfinished_checkpoints_dir / "removed"))

    def _carry(self) -> _Carried:
        trainer, verdicts = self._trainer, self._verdicts
        return _Carried(
            inputs=self._inputs,
            circumstances=self._circumstances,
            notes=self.notes,
            seconds=self._progress.seconds(),
            loss_since_log=trainer._tr_loss.item(),
            loss_before=trainer._total_loss_scalar,
            logged_step=trainer._globalstep_last_logged,
            metrics=trainer._metrics["train"],
            tokens=trainer._total_train_tokens,
            verdicts_asked=verdicts.asked if verdicts else 0,
            verdicts_failed=verdicts.failed if verdicts else 0,
            watch=self.watching.watch.state(),
            alarms=self.watching.alarms,
            entropy_bonus=self.watching.entropy_bonus,
        )


def is_due(run: RunSettings, seconds: float, steps: int) -> bool:
    """Whether so much time, or so many updates, since the last checkpoint ask for one."""
    has_steps = run.checkpoint_steps is not None and steps >= run.checkpoint_steps
    return has_steps or seconds >= 60 * run.checkpoint_minutes


def _read(checkpoint: Path) -> _Carried:
    return _Carried.model_validate_json((checkpoint / _CARRIED_FILE).read_text())


def _inputs(job: StageJob) -> tuple[str, ...]:
    models = (model.fingerprint if model else "" for model in (job.start, job.base, job.adapter_base))
    return (*models, *(f"{rows.fingerprint} {rows.weight}" for rows in job.rows), str(job.seed))


def _circumstances(args: TrainingArguments) -> dict[str, str]:
    return {
        "threads": str(torch.get_num_threads()),
        "device": args.device.type,
        "micro-batch": str(args.per_device_train_batch_size),
        **{package: version(package) for package in _PACKAGES},
    }


def _changed(before: dict[str, str], now: dict[str, str], step: int) -> list[str]:
    """One sentence, or none."""
    changes = [
        f"{name} {now[name]} instead of {value}" for name, value in before.items() if now[name] != value
    ]
    if not changes:
        return []
    return [f"continued after step {step} with {', '.join(changes)}: the last bits of the weights may differ"]


def _draw_earlier_orders(dataloader: Any, passes: int) -> None:
    """TRL's sampler draws each pass's order from one generator, and begins with the first in every process.

    Other samplers here are seeded by the pass.
    """
    sampler = dataloader.batch_sampler.sampler
    if isinstance(sampler, RepeatSampler):
        for _ in range(passes):
            next(iter(sampler))
