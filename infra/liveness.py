"""Who is at work in a home, and how to remove what nobody needs while others may be.

A run is alive while its process is; a lock is held while the kernel says so; a temporary file is abandoned when
the process in its name is gone, or younger than the file.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from infra.being_written import path_to_write
from infra.home import Home
from infra.ledger import Ledger
from infra.process_identity import is_same_process, process_start_time
from infra.records import RUNNING, Run

_TEMPORARY = re.compile(r"\.probe-(\d+)-\d+|\.(\d+)\.\d+\.tmp|\..+\.(\d+)\.\d+")
"""Names under which files of a home are written, with the writer's process in them."""


def live_runs(ledger: Ledger) -> list[Run]:
    """Runs whose process is at work, newest first."""
    return [run for run in ledger.runs_at(RUNNING) if not is_crashed(run)]


def is_crashed(run: Run) -> bool:
    """Whether a run still claims to be running and its process is gone."""
    return run.state == RUNNING and not is_same_process(run.pid, run.pid_started)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock file `path`; looking leaves no trace."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def held_locks(home: Home, prefix: str) -> set[str]:
    """What stands after `prefix` in the names of the locks that are held."""
    paths = (home.path / "locks").glob(f"{prefix}*.lock")
    return {path.stem.removeprefix(prefix) for path in paths if is_held(path)}


def is_abandoned(path: Path) -> bool:
    """Whether `path` has the name of a file that is being written, and its writer is gone."""
    named = _TEMPORARY.fullmatch(path.name)
    if named is None:
        return False
    began = process_start_time(int(next(filter(None, named.groups()))))
    try:
        return began is None or began > path.lstat().st_mtime + 1.0
    except FileNotFoundError:  # it has its own name by now
        return False


def remove(path: Path) -> None:
    """A file, a link or a whole directory; gone already is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_unless(is_wanted: Callable[[], bool], path: Path) -> bool:
    """Remove `path`; False when it turned out to be wanted after all.

    It is taken out of everybody's reach under a name of `path_to_write` first, and only then is the question asked
    again: whoever came to want it in between gets it back. A kill leaves a temporary file of a dead writer.
    """
    aside = path_to_write(path.parent)
    try:
        path.rename(aside)
    except FileNotFoundError:
        return True
    if is_wanted():
        if not path.exists():
            aside.rename(path)
            return False
        remove(aside)  # who wants it has made it anew
        return False
    remove(aside)
    return True
