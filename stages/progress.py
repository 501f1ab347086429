"""How a stage tells the outside how far it is: one JSON line per report, appended to a file.

A file and not a pipe: when the parent dies, a pipe would kill the child in its last checkpoint.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data_contracts.jobs import Progress

_MIN_SECONDS = 0.2
"""Between two reports without metrics."""

_NO_METRICS = {"epoch", "step", "train_runtime", "train_samples_per_second", "train_steps_per_second"}
"""What a Trainer logs beside them; its clock knows nothing of the time before an interruption."""


class ProgressFile:
    """Appends `Progress` lines."""

    def __init__(self, path: Path, unit: Literal["step", "completion", "row"] = "step") -> None:
        self._file = path.open("a", buffering=1)
        self._unit: Literal["step", "completion", "row"] = unit
        self._began = time.monotonic()
        self._reported = 0.0

    def seconds(self) -> float:
        """Since the stage began."""
        return time.monotonic() - self._began

    def began_earlier(self, seconds: float) -> None:
        """Count what passed before an interruption."""
        self._began -= seconds

    def report(self, step: int, total: int, metrics: dict[str, float] | None = None) -> None:
        """Write a line; one without metrics is left out when the last is fresh."""
        now = time.monotonic()
        if not metrics and step < total and now - self._reported < _MIN_SECONDS:
            return
        self._reported = now
        self.write(step=step, total=total, metrics=metrics or {})

    def write(self, **told: Any) -> None:
        """A line, whatever went before."""
        line = Progress(seconds=self.seconds(), unit=self._unit, **told)
        self._file.write(line.model_dump_json(exclude_defaults=True) + "\n")


class ProgressCallback(TrainerCallback):
    """Forwards a Trainer's steps and logged metrics, and keeps the last ones for the stage's result."""

    def __init__(self, progress: ProgressFile, prefix: str) -> None:
        self.file = progress
        self._prefix = prefix
        self.last: dict[str, float] = {}
        self.unseen: list[tuple[int, dict[str, float]]] = []
        """Steps with their numbers that no `Watching` has looked at."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A Trainer that continues brings what it logged before: the file of this process begins with it."""
        for logs in state.log_history:
            numbers = self._numbers(logs)
            self.last |= numbers
            self.file.write(step=int(logs["step"]), total=state.max_steps, metrics=numbers, is_repeated=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.file.report(state.global_step, state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        numbers = self._numbers(logs or {})
        if (tokens := numbers.get(f"{self._prefix}/num_tokens")) is not None:
            numbers[f"{self._prefix}/tokens_per_second"] = tokens / self.file.seconds()
        numbers[f"{self._prefix}/memory_gib"] = _memory_bytes() / 2**30
        self._take(state, numbers)

    def record(self, state: TrainerState, numbers: Mapping[str, float]) -> None:
        """Numbers of our own, kept where the Trainer keeps its logs: a stage that continues has them again."""
        logs = {**numbers, "step": state.global_step}
        state.log_history.append(logs)
        self._take(state, self._numbers(logs))

    def _take(self, state: TrainerState, numbers: dict[str, float]) -> None:
        self.last |= numbers
        self.unseen.append((state.global_step, numbers))
        self.file.report(state.global_step, state.max_steps, numbers)

    def _numbers(self, logs: Mapping[str, Any]) -> dict[str, float]:
        return {
            f"{self._prefix}/{name}": float(value)
            for name, value in logs.items()
            if isinstance(value, (int, float)) and name not in _NO_METRICS
        }


def _memory_bytes() -> int:
    """The most that tensors took on the accelerator, where this process uses one; else its resident set."""
    return (
        torch.cuda.max_memory_allocated()
        if torch.cuda.is_initialized()
        else psutil.Process().memory_info().rss
    )
