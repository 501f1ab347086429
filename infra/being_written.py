"""Names of files that are being written: hidden, and with the writer's process in them.

A file of a home is written under such a name and renamed when it is complete, so that a collection of garbage
can tell a file that will be from what a dead process left.
"""

import os
import re
import time
from pathlib import Path

_NAME = re.compile(r"\.(\d+)\.\d+\.tmp")


def path_to_write(folder: Path) -> Path:
    """A name in `folder` that no other file has."""
    return folder / f".{os.getpid()}.{time.monotonic_ns()}.tmp"


def writer_of(path: Path) -> int | None:
    """The process that gave a file a name of `path_to_write`; None for any other name."""
    named = _NAME.fullmatch(path.name)
    return int(named[1]) if named else None
