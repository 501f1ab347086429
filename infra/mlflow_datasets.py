"""Our dataset versions in MLflow's words: name, fingerprint and where the rows are, never the rows."""

import json
from dataclasses import dataclass

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT


@dataclass(frozen=True, slots=True)
class UsedDataset:
    """A dataset version that a stage read."""

    name: str
    version: int
    fingerprint: str
    context: str
    """What for: `train`, `evaluate`, `compare`."""


def dataset_input(used: UsedDataset) -> DatasetInput:
    """The source is the home's warehouse, which MLflow can name but not open."""
    dataset = Dataset(
        name=f"{used.name}@{used.version}",
        digest=used.fingerprint,
        source_type="burnish_warehouse",
        source=json.dumps({"name": used.name, "version": used.version}),
    )
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, used.context)])
