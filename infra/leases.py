"""Leases on accelerators, machine-wide: whatever the home, one GPU trains one stage at a time.

A lease is an OS file lock in a per-user folder, so the kernel frees it when its holder dies.
"""

import contextlib
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path

import filelock

from data_contracts.errors import Interrupted, StageError

_POLL_SECONDS = 0.5


def leases_dir() -> Path:
    """The per-user folder every home of this user shares."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "burnish" / "leases"


@contextlib.contextmanager
def lease_accelerators(
    count: int,
    available: int,
    *,
    holder: str,
    on_wait: Callable[[str], None],
    should_stop: Callable[[], bool],
    directory: Path | None = None,
) -> Generator[tuple[int, ...]]:
    """Hold `count` of `available` accelerators; yields their indices. `count` 0 holds nothing.

    All are taken or none, so two waiting stages cannot hold half each. `on_wait` is told once who holds them.
    Raises StageError when there are fewer than `count`, Interrupted when `should_stop` becomes true.
    """
    if count > available:
        raise StageError(
            f"run.accelerators = {count}, but this machine has {available}.",
            f"at most {available}",
            "Use --set run.accelerators=0 to train on the CPU.",
        )
    if count == 0:
        yield ()
        return
    folder = directory or leases_dir()
    folder.mkdir(parents=True, exist_ok=True)
    told = False
    while (held := _try_hold(count, available, folder, holder)) is None:
        if not told:
            on_wait(_holders(folder))
            told = True
        if should_stop():
            raise Interrupted(f"Stopped while waiting for an accelerator ({holder}).")
        time.sleep(_POLL_SECONDS)
    try:
        yield tuple(held)
    finally:
        for index, lock in held.items():
            _holder_path(folder, index).unlink(missing_ok=True)
            lock.release()


def _try_hold(count: int, available: int, folder: Path, holder: str) -> dict[int, filelock.FileLock] | None:
    held: dict[int, filelock.FileLock] = {}
    for index in range(available):
        if len(held) == count:
            break
        lock = filelock.FileLock(folder / f"accelerator-{index}.lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            continue
        held[index] = lock
        _holder_path(folder, index).write_text(f"{holder} (process {os.getpid()})")
    if len(held) == count:
        return held
    for index, lock in held.items():
        _holder_path(folder, index).unlink(missing_ok=True)
        lock.release()
    return None


def _holder_path(folder: Path, index: int) -> Path:
    return folder / f"accelerator-{index}.holder"


def _holders(folder: Path) -> str:
    found: list[str] = []
    for path in sorted(folder.glob("*.holder")):
        with contextlib.suppress(FileNotFoundError):  # released since we looked
            found.append(path.read_text())
    return "; ".join(found) or "another process"
