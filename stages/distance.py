"""How far a policy has gone from the model it started from, where no KL term of the loss measures it."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from trl.trainer.utils import selective_log_softmax

from data_contracts.jobs import StageJob
from data_contracts.training_configs import GRPOConfig
from stages.checkpoint import load_model

_ROWS = 16
"""Completions that are looked at."""

_USED = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")


class DistanceFromStart:
    """KL divergence to the start per token, in nats, on completions of the last round of sampling.

    The estimator is k3 of Schulman, "Approximating KL Divergence" (2020), as in GRPO's own term: never negative.
    """

    def __init__(self, trainer: Any, job: StageJob, config: GRPOConfig) -> None:
        assert job.start is not None
        self._trainer, self._start, self._dtype = trainer, job.start.path, config.dtype
        self._temperature = config.temperature
        self._is_below_adapter = config.lora is not None and config.lora.start_adapter != "continue"

    def __call__(self, model: Any) -> Mapping[str, float]:
        """`kl_to_start`; nothing before the first round."""
        buffered = self._trainer._buffered_inputs
        if not buffered:
            return {}
        batch = {name: value[:_ROWS] for name, value in buffered[0].items() if name in _USED}
        policy = self._log_probs(model, batch)
        with self._reference(model) as reference:
            difference = self._log_probs(reference, batch) - policy
        kl = torch.exp(difference) - difference - 1
        mask = batch["completion_mask"]
        return {"kl_to_start": float((kl * mask).sum() / mask.sum().clamp(min=1))}

    def _log_probs(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Of each completion's tokens: (rows, completion tokens)."""
        completion = batch["completion_ids"]
        output = model(
            input_ids=torch.cat([batch["prompt_ids"], completion], dim=1),
            attention_mask=torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
        )
        logits = output.logits[:, -completion.size(1) - 1 : -1].float() / self._temperature
        return selective_log_softmax(logits, completion)

    @contextmanager
    def _reference(self, model: Any) -> Generator[Any]:
        """The start: the model without its adapter, or loaded for this look alone, so that it takes no memory."""
        if isinstance(model, PeftModel) and self._is_below_adapter:
            with model.disable_adapter():
                yield model
        else:
            yield load_model(self._start, self._dtype).eval().to(model.device)  # pyright: ignore[reportArgumentType]
