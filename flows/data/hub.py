"""Datasets of the Hugging Face hub: `hub:owner/name`, `hub:owner/name@revision`, `…#config`, `…:split`."""

import re
from typing import Any

import pyarrow as pa

from data_contracts.errors import DataError

_PATTERN = re.compile(
    r"hub:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(#(?P<config>[\w.-]+))?(:(?P<split>[\w.\[\]%-]+))?"
)


def is_hub_id(text: str) -> bool:
    return text.startswith("hub:")


def read_hub(text: str) -> pa.Table:
    """All rows of one split (`train` unless named), through `datasets` and its cache. Raises DataError."""
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise DataError(
            f"{text!r} is no hub dataset.",
            "hub:OWNER/NAME[@REVISION][#CONFIG][:SPLIT]",
            "Correct the source.",
        )
    return load_hub_table(
        found["name"], found["config"], found["split"] or "train", found["revision"] or "main"
    )


def load_hub_table(name: str, config: str | None, split: str, revision: str | None) -> pa.Table:
    """One split of a hub dataset as Arrow. Raises DataError when the hub and the local cache lack it."""
    from datasets import load_dataset

    try:
        dataset: Any = load_dataset(name, config, split=split, revision=revision)
    except Exception as error:  # the hub client raises a dozen unrelated types; each means the same to a user
        raise DataError(
            f"The hub dataset {name} at {revision} cannot be fetched: {error}",
            "a reachable hub, or the dataset in its local cache",
            "Without network: download the file and use its path instead.",
        ) from error
    return dataset.with_format("arrow")[:]
