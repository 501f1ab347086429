"""How the content of what a recipe reads is known without reading it again."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import DataError, RecipeError
from flows.code_identity import Code, Parts, directory_files
from flows.lineage.withdrawn_datasets import Withdrawn
from infra.records import Execution


@dataclass(frozen=True, slots=True)
class Sources:
    """What a plan asks the world outside of the recipe."""

    code: Code
    file_digest: Callable[[Path], str]
    find_version: Callable[[str, int], Execution]
    """The execution that made this version of a dataset or a registered model. Raises NotFoundError."""

    champion: Callable[[str], int | None]
    """The version of a registered model that was promoted last."""

    withdrawn: Withdrawn
    """What was withdrawn from a dataset with this identity."""

    accepted: Callable[[str], str]
    """The code that a person said gives the same results as this code: itself, where nobody said so."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a data file. Raises DataError when it is not there."""
    if not path.is_file():
        raise DataError(
            f"{path} does not exist." if not path.exists() else f"{path} is not a file.",
            "a data file",
            "Correct the path in the recipe (relative to its folder), or give it: --set DATASET.path=FILE.",
        )
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_files(path: Path, file_digest: Callable[[Path], str]) -> Parts:
    """Digests of a model's files. Raises RecipeError where there is no model."""
    if not (path / "config.json").is_file():
        found = "is not a directory" if not path.is_dir() else "has no config.json"
        raise RecipeError(
            f"base.path {path} {found}.",
            "a Hugging Face model directory with config.json, safetensors weights and tokenizer files",
            "Save one with model.save_pretrained(DIR) and tokenizer.save_pretrained(DIR).",
        )
    return directory_files(path, file_digest)
