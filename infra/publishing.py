"""How a finished directory gets its place: complete and synced, then renamed."""

import os
import shutil
from pathlib import Path


def publish_directory(source: Path, target: Path) -> None:
    """Move a finished directory to its content-addressed place; an equal one already there wins."""
    for file in sorted(source.rglob("*")):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if target.is_dir() and _sizes(target) == _sizes(source):
        shutil.rmtree(source)
        return
    if target.is_dir():  # somebody removed files from it
        shutil.rmtree(target)
    source.rename(target)


def _sizes(directory: Path) -> dict[str, int]:
    files = (file for file in directory.rglob("*") if file.is_file())
    return {file.relative_to(directory).as_posix(): file.stat().st_size for file in files}
