"""How much memory the processes of a run take, told apart by the log that each writes into."""

import os
from collections import defaultdict
from pathlib import Path

import psutil


def memory_by_log(pid: int) -> dict[Path, int]:
    """Resident bytes of the processes below `pid`, by the file their standard output goes to; shared pages count
    in each. Empty for a process that is gone, or another user's."""
    found: defaultdict[Path, int] = defaultdict(int)
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return {}
    for process in below:
        try:
            log = Path(os.readlink(f"/proc/{process.pid}/fd/1"))  # noqa: PTH115 - a name such as pipe:[1] is no path
            found[log] += process.memory_info().rss
        except (psutil.Error, OSError):  # it ended just now
            continue
    return dict(found)
