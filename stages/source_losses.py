"""The SFT loss of every source of a mix: one may be learned at another's cost, which the mean hides."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy

from stages.handoff import IGNORED

_ROWS = 16
"""Of each source, the same ones at every look."""

_MAX_SOURCES = 16


class SourceLosses:
    """Mean cross-entropy per completion token, in nats, of some training rows of each source."""

    def __init__(self, rows: Dataset, micro_batch: int, seed: int) -> None:
        """`rows` have `input_ids`, `labels` and `source`; of many sources only the largest are looked at.

        `micro_batch` rows go through the model at a time.
        """
        random = np.random.default_rng(seed)
        of_row = np.asarray(rows["source"][:])
        names, counts = np.unique(of_row, return_counts=True)
        largest = names[np.argsort(-counts, kind="stable")][:_MAX_SOURCES]
        self._batches = {
            str(name): [
                _batch(rows.select(drawn[begin : begin + micro_batch]).to_list())
                for begin in range(0, len(drawn), micro_batch)
            ]
            for name in sorted(largest)
            if (drawn := sorted(random.permutation(np.flatnonzero(of_row == name))[:_ROWS].tolist()))
        }

    def __call__(self, model: Any) -> Mapping[str, float]:
        """`loss/<source>`; nothing for a single source, whose loss is the Trainer's."""
        if len(self._batches) < 2:
            return {}
        return {f"loss/{name}": _loss(model, batches) for name, batches in self._batches.items()}


def _batch(rows: Sequence[Mapping[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels, (rows, tokens), filled up on the right, where no token before sees it."""
    width = max(len(row["input_ids"]) for row in rows)
    ids = [[*row["input_ids"], *[0] * (width - len(row["input_ids"]))] for row in rows]
    labels = [[*row["labels"], *[IGNORED] * (width - len(row["labels"]))] for row in rows]
    return torch.tensor(ids), torch.tensor(labels)


def _loss(model: Any, batches: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> float:
    total, count = 0.0, 0
    for ids, labels in batches:
        logits = model(input_ids=ids.to(model.device)).logits[:, :-1].float()
        wanted = labels[:, 1:].to(model.device)
        total += float(cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum"))
        count += int((wanted != IGNORED).sum())
    return total / count
