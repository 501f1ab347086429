"""What is done when an alarm goes off while a stage trains, as the recipe's policy says.

A fault is seen some steps after it began. So a stage that may have to go back keeps a checkpoint at each of its
looks, and goes back to the newest one that was written while all was still well.
"""

import logging
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import sort_checkpoints

from data_contracts.alarms import Alarm
from data_contracts.errors import AlarmError, Paused
from data_contracts.jobs import StageJob
from data_contracts.training_configs import DPOConfig, GRPOConfig, SFTConfig
from stages.alarms.rules import rules_for
from stages.alarms.watch import Watch
from stages.progress import ProgressCallback, ProgressFile

_ENTROPY_BONUS = 0.005
"""What `raise_entropy` adds to the coefficient of the entropy bonus: a step of TRL's adaptive control, after
Skywork-OR1 (arXiv 2505.22312)."""

logger = logging.getLogger(__name__)


class Watching(TrainerCallback):
    """Shows a Watch what the stage measures, tells the alarms, and carries out responses.

    Add it after what measures and before `Checkpoints`, which asks `is_pausing`.
    """

    def __init__(
        self,
        trainer: Trainer,
        job: StageJob,
        config: SFTConfig | DPOConfig | GRPOConfig,
        progress: ProgressCallback,
        every: int,
    ) -> None:
        """`every` so many updates a stage that may have to go back writes a checkpoint."""
        self._trainer: Any = trainer
        self._job, self._progress, self._every = job, progress, every
        self.can_go_back = "back" in config.alarms.responses().values()
        self.watch = Watch(rules_for(config.kind, trainer.args.max_steps), config.alarms)
        self.alarms: tuple[Alarm, ...] = ()
        """All that went off, those before an interruption included."""

        self.ending: Alarm | None = None
        """That which ends this training."""

        self.entropy_bonus = 0.0

    @property
    def progress_file(self) -> ProgressFile:
        return self._progress.file

    @property
    def is_pausing(self) -> bool:
        """Whether the training is to end at the next checkpoint it can write."""
        return self.ending is not None and self.ending.response == "pause"

    def wants_checkpoint(self, steps: int) -> bool:
        """So many updates after the last one."""
        return self.can_go_back and steps >= self._every

    @property
    def _is_finished(self) -> bool:
        return self._trainer.state.global_step >= self._trainer.state.max_steps

    def restore(self, watch: dict[str, Any], alarms: tuple[Alarm, ...], entropy_bonus: float) -> None:
        """Continue where a checkpoint was written; what went off before counts as seen."""
        self.watch.restore(watch)
        self.alarms = alarms
        self._raise_entropy(entropy_bonus)
        for alarm in alarms:
            self._tell(alarm, is_repeated=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._look(control)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._look(control)

    def finish(self) -> list[str]:
        """After a training that an alarm ended: go back, or raise. Returns notes on all alarms.

        Raises AlarmError for `stop`, and for `back` where there is nothing to go back to; Paused for `pause`.
        """
        notes = [f"alarm at step {alarm.step}: {alarm.reason}" for alarm in self.alarms]
        alarm = self.ending
        if alarm is None or (self.is_pausing and self._is_finished):
            return notes
        if alarm.response == "pause":
            raise Paused(
                f"Stage {self._job.name} paused at step {alarm.step}: {alarm.reason}",
                "",
                f"Look at `burnish samples {self._job.name}`; the same command goes on from here.",
            )
        if alarm.response == "stop":
            raise AlarmError(
                f"Stage {self._job.name} was stopped at step {alarm.step} by {alarm.name}: {alarm.reason}",
                f"a training without it, or alarms: {{{alarm.name}: note}} in the recipe",
                "See `burnish report`.",
            )
        good = self._last_good(alarm)
        self._trainer._load_from_checkpoint(str(good))
        step = int(good.name.rpartition("-")[2])
        self._progress.last[f"{self._job.config.kind}/returned_to_step"] = float(step)
        return [*notes, f"back to the weights of step {step}, from before {alarm.name}"]

    def _look(self, control: TrainerControl) -> None:
        seen, self._progress.unseen = self._progress.unseen, []
        for step, numbers in seen:
            for alarm in self.watch.look(step, numbers):
                self.alarms = (*self.alarms, alarm)
                self._tell(alarm)
                self._respond(alarm, control)

    def _tell(self, alarm: Alarm, *, is_repeated: bool = False) -> None:
        logger.warning("alarm: %s", alarm)
        total = self._trainer.args.max_steps
        self._progress.file.write(step=alarm.step, total=total, alarms=(alarm,), is_repeated=is_repeated)

    def _respond(self, alarm: Alarm, control: TrainerControl) -> None:
        if self.ending is not None:
            return
        if alarm.response in ("pause", "stop", "back"):
            self.ending = alarm
            control.should_training_stop = alarm.response != "pause"
        elif alarm.response == "halve_learning_rate":
            self._halve_learning_rate()
        elif alarm.response == "raise_entropy":
            self._raise_entropy(_ENTROPY_BONUS)

    def _halve_learning_rate(self) -> None:
        """Of the schedule as a whole; both halves are part of a checkpoint."""
        schedule: Any = self._trainer.lr_scheduler
        schedule.base_lrs = [rate / 2 for rate in schedule.base_lrs]
        for group in self._trainer.optimizer.param_groups:
            group["lr"] /= 2
            group["initial_lr"] /= 2

    def _raise_entropy(self, by: float) -> None:
        if by:
            self.entropy_bonus += by
            self._trainer.entropy_coef += by
            self._trainer._entropy_bonus_enabled = True

    def _last_good(self, alarm: Alarm) -> Path:
        """The newest from before the fault; one at whose look held-out accuracy could still be the best there was."""
        logs = [log for log in self._trainer.state.log_history if "held_out/accuracy" in log]
        best = max((log["held_out/accuracy"] for log in logs), default=0.0)
        for checkpoint in reversed(sort_checkpoints(str(self._job.checkpoints_dir))):
            step = int(checkpoint.rpartition("-")[2])
            could_be = [log["held_out/accuracy_high"] for log in logs if log["step"] <= step]
            if step <= alarm.since and (not could_be or could_be[-1] >= best):
                return Path(checkpoint)
        raise AlarmError(
            f"Stage {self._job.name} has {alarm.name} since step {alarm.since}, before its first checkpoint: "
            f"{alarm.reason}",
            "a checkpoint from before it to go back to",
            "Lower the learning rate, or mend the reward: nothing that was trained is worth keeping.",
        )
