"""Looks at a policy while it is trained: measured every so many updates, without touching what training draws.

A look happens before the first update, every `every` updates and after the last. Random states, and whether
dropout is on, are put back, so a stage gives the same weights whoever looks.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.progress import ProgressCallback

Measure: TypeAlias = Callable[[torch.nn.Module], Mapping[str, float]]
"""Given the model, in evaluation mode and without gradients: numbers by name."""


class Looks(TrainerCallback):
    """Measures, and records the numbers with the Trainer's own. Add it before `Checkpoints`."""

    def __init__(
        self, trainer: Trainer, every: int, measures: Mapping[str, Measure], progress: ProgressCallback
    ) -> None:
        """`measures` by a name for their time, which is recorded as `seconds/<name>`."""
        self._trainer: Any = trainer
        self._every, self._measures, self._progress = every, measures, progress

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == 0:
            self._look(state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._look(state)

    def _look(self, state: TrainerState) -> None:
        numbers: dict[str, float] = {}
        model: torch.nn.Module = self._trainer.accelerator.unwrap_model(self._trainer.model)
        was_training = model.training
        model.eval()
        with torch.random.fork_rng(), torch.no_grad():
            for name, measure in self._measures.items():
                began = time.perf_counter()
                if found := measure(model):
                    numbers |= found
                    numbers[f"seconds/{name}"] = time.perf_counter() - began
        model.train(was_training)
        if numbers:
            self._progress.record(state, numbers)


def looks_every(max_steps: int, wanted: int | None = None) -> int:
    """Updates between two looks: as wanted, else a tenth of the stage."""
    return wanted or max(1, max_steps // 10)
