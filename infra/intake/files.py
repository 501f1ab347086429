"""Which files a source names: a path, a pattern, or a directory."""

import glob
import json
from pathlib import Path
from typing import Any

from data_contracts.errors import DataError
from infra.intake.batches import SourceFile

_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_KNOWN = f"{', '.join(_FORMATS)}, each also with {' or '.join(_COMPRESSIONS)}"
_ABOUT_DATASETS = frozenset({"state.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"})


def find_files(source: str, base: Path) -> list[SourceFile]:
    """The files of a path, a pattern such as `data/*.jsonl.gz`, or a directory, in a fixed order.

    A directory gives the data files directly in it; one that `datasets` saved gives them in its own order.
    Relative names start from `base`. Raises DataError where there is none, or one is empty or unknown.
    """
    path = base / Path(source).expanduser()
    try:
        if path.is_dir():
            return [_source_file(file) for file in _in_directory(path)]
        if path.exists() or glob.escape(str(path)) == str(path):
            return [_source_file(path)]
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute patterns
    except OSError as error:
        raise DataError(
            f"{path} cannot be opened: {error.strerror}.",
            "a data file",
            "Correct the path, or its permissions.",
        ) from error
    files = [_source_file(file) for file in found if file.is_file()]
    if not files:
        raise DataError(
            f"No file matches {path}.",
            "a pattern that at least one data file matches",
            "Correct the pattern; it is read from the working directory.",
        )
    return files


def _in_directory(directory: Path) -> list[Path]:
    saved = directory / "state.json"
    if saved.is_file() and (names := _saved_names(saved)):
        return [directory / name for name in names]
    children = sorted(child for child in directory.iterdir() if not child.name.startswith((".", "_")))
    found = [
        child
        for child in children
        if child.is_file() and child.name not in _ABOUT_DATASETS and _format(child) is not None
    ]
    if not found:
        folders = ", ".join(child.name for child in children if child.is_dir())
        raise DataError(
            f"The directory {directory} holds no data files" + (f", only {folders}." if folders else "."),
            f"files with the suffixes {_KNOWN}",
            "Name one of its folders, or a pattern such as FOLDER/**/*.parquet."
            if folders
            else "Correct the path; in a recipe it starts from the recipe's folder.",
        )
    return found


def _saved_names(state: Path) -> list[str]:
    """The files of a dataset saved by `datasets.save_to_disk`, in order; none where this is no such file."""
    try:
        saved: Any = json.loads(state.read_bytes())
        names = [entry["filename"] for entry in saved["_data_files"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return names if all(isinstance(name, str) and Path(name).name == name for name in names) else []


def _format(path: Path) -> tuple[str, str | None] | None:
    *_, before, last = ["", "", *(suffix.lower() for suffix in path.suffixes)]
    if last in _COMPRESSIONS:
        return (_FORMATS[before], _COMPRESSIONS[last]) if before in _FORMATS else None
    return (_FORMATS[last], None) if last in _FORMATS else None


def _source_file(path: Path) -> SourceFile:
    if not path.is_file():
        raise DataError(
            f"{path} does not exist." if not path.exists() else f"{path} is not a file.",
            "a data file, a directory of them or a pattern",
            "Correct the path; in a recipe it starts from the recipe's folder.",
        )
    if (known := _format(path)) is None:
        raise DataError(
            f"{path} has the suffix {''.join(path.suffixes[-2:]) or '(none)'!r}.",
            f"one of {_KNOWN}",
            "Convert the file, or rename it to what it is.",
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty.", "at least one row", "Check the program that writes it.")
    return SourceFile(str(path), *known)
