"""Which rows each training was given, kept for as long as the model: one Parquet file per input key.

The input key stands for config, code and the content of all inputs, so a file holds for every execution that
has the key, and for all that adopt its result.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.home import Home


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The distinct rows that reached a trainer, after weights and drops."""

    input: NDArray[np.int16]
    """[rows] Which of the stage's rows inputs."""

    row: NDArray[np.int64]
    """[rows] Position in that dataset version."""

    times: NDArray[np.int32]
    """[rows] How often it was among the rows of one pass."""


def keep_training_rows(home: Home, input_key: str, written: Path) -> None:
    """Copy what a stage wrote to its place, whole or not at all."""
    target = _path(home, input_key)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{time.monotonic_ns()}")
    shutil.copyfile(written, temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)


def read_training_rows(home: Home, input_key: str) -> TrainingRows:
    """What the executions with this input key were given."""
    table = pq.read_table(_path(home, input_key))
    return TrainingRows(
        table.column("input").to_numpy(), table.column("row").to_numpy(), table.column("times").to_numpy()
    )


def _path(home: Home, input_key: str) -> Path:
    return home.lineage_dir / f"{input_key}.parquet"
