"""Locks of the operating system, and who holds them.

The kernel frees a lock when the last process that has its file open is gone, however it ended. Beside the lock
lies a sign: a file that says who holds it and since when, locked itself by the one who put it up. A sign counts
only while that second lock is taken, and every sign is a file of its own: what a killed process left behind is
never shown as a holder, and no text of an earlier holder can pass for the next one's.

Files may lie in a folder that other users write into: no link is followed, and what a sign says is only shown.
"""

import contextlib
import fcntl
import math
import os
import pwd
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data_contracts.errors import Interrupted

POLL_SECONDS = 0.05

REPEAT_SECONDS = 60.0
"""Between two times that somebody who waits is told for whom."""

_MAX_SIGN_BYTES = 8192

T = TypeVar("T")


class Holder(BaseModel):
    """What a sign says."""

    model_config = ConfigDict(frozen=True)

    what: str = Field(max_length=500)
    """Such as `grpo of run 20260102-030405-ab12`."""

    home: str | None = Field(default=None, max_length=4096)
    """Where a lock is shared between homes: the holder's."""

    pid: int = Field(default_factory=os.getpid)
    since: float = Field(default_factory=time.time)
    """Seconds since the epoch."""

    def describe(self, user: str | None, now: float) -> str:
        """`grpo of run X (process 123, home /h, for 4 min)`; `user` is named if given."""
        place = [f"user {user}"] if user else []
        place += [f"home {self.home}"] if self.home else []
        told = ", ".join([f"process {self.pid}", *place, f"for {_duration(now - self.since)}"])
        return "".join(c if c.isprintable() else "?" for c in f"{self.what} ({told})")


def try_lock(path: Path | str, folder: int | None = None, mode: int | None = None) -> int | None:
    """Take the lock `path` if it is free; its file descriptor, or None.

    The lock is free again once the descriptor is closed, here and in every process it was handed to. `folder` is
    an open directory that `path` is in. `mode` is set on a file that is made here, whatever the umask.
    Raises OSError when the file cannot be opened.
    """
    try:
        descriptor = _open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, folder)
        if mode is not None:
            os.fchmod(descriptor, mode)
    except FileExistsError:  # O_CREAT would be refused for another user's file in a sticky folder
        descriptor = _open(path, os.O_RDWR, folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:  # else its name was removed meanwhile, and another file may have it
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


@contextlib.contextmanager
def sign(path: Path | str, holder: Holder, folder: int | None = None) -> Generator[None]:
    """Put up a sign while the context lasts. Only whoever holds the lock it stands beside may do so."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path, dir_fd=folder)
    descriptor = _open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, folder)
    try:
        os.fchmod(descriptor, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # a reader may be looking for an instant
        os.write(descriptor, holder.model_dump_json().encode())
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path, dir_fd=folder)
        os.close(descriptor)


def read_sign(path: Path | str, folder: int | None = None) -> str | None:
    """Who holds what the sign is for, in words; None where its writer is gone, or has not finished writing."""
    try:
        descriptor = _open(path, os.O_RDONLY, folder)
    except OSError:  # released a moment ago, a link, or not for us to read
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.fstat(descriptor).st_uid
        with contextlib.suppress(ValidationError):
            holder = Holder.model_validate_json(os.read(descriptor, _MAX_SIGN_BYTES))
            return holder.describe(None if owner == os.getuid() else _user_name(owner), time.time())
    finally:
        os.close(descriptor)
    return None


def wait_for(
    attempt: Callable[[], T | None],
    *,
    on_wait: Callable[[], None],
    should_stop: Callable[[], bool],
    what: str,
    seconds: float = math.inf,
) -> T:
    """Try again and again; what came of it.

    `on_wait` is called at once and then every minute. Raises Interrupted when `should_stop` becomes true,
    TimeoutError after `seconds`.
    """
    began = time.monotonic()
    told = -math.inf
    while (found := attempt()) is None:
        now = time.monotonic()
        if now - began >= seconds:
            raise TimeoutError
        if now - told >= REPEAT_SECONDS:
            told = now
            on_wait()
        if should_stop():
            raise Interrupted(f"Stopped while waiting for {what}.")
        time.sleep(POLL_SECONDS)
    return found


def _open(path: Path | str, flags: int, folder: int | None) -> int:
    """Neither through a link, nor waiting at a pipe that somebody put there."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666, dir_fd=folder)


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 0.0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
