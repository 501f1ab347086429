"""TRL's GRPOTrainer with a clock: how much of an update is sampling, verifying and training."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import trl.trainer.grpo_trainer as trl


class GRPOTrainer(trl.GRPOTrainer):
    """Logs `seconds/generate`, `seconds/verify` and `seconds/train` of every optimizer update.

    A round of sampling is counted at the update that began with it. It and its verification are in
    `_generate_and_score_completions`, which has no hook of its own.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._spent = {"generate": 0.0, "verify": 0.0, "train": 0.0}
        super().__init__(**kwargs)

    @contextmanager
    def _clocked(self, what: str) -> Generator[None]:
        began = time.perf_counter()
        yield
        self._spent[what] += time.perf_counter() - began

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        with self._clocked("generate"):
            return super()._generate(*args, **kwargs)

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Any:
        with self._clocked("verify"):
            return super()._calculate_rewards(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        before = self._spent["generate"] + self._spent["verify"]
        began = time.perf_counter()
        loss = super().training_step(*args, **kwargs)
        others = self._spent["generate"] + self._spent["verify"] - before
        self._spent["train"] += time.perf_counter() - began - others
        if self._step % self.current_gradient_accumulation_steps == 0:
            for what, seconds in self._spent.items():
                self._metrics["train"][f"seconds/{what}"].append(seconds)
            self._spent = dict.fromkeys(self._spent, 0.0)
        return loss
