"""Files that outlive a power cut: written under another name, forced to the disk, then put in their place.

A rename is atomic, but the disk may keep it before it keeps the bytes: hence fsync first, and of the folder after.
"""

import os
from pathlib import Path


def publish(written: Path, target: Path) -> None:
    """Give a file or a whole folder its final name, its bytes on the disk before and its name after."""
    if written.is_dir():
        for path in written.rglob("*"):
            _sync(path)
    _sync(written)
    written.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
