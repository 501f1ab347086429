"""Which process is which: a process's number is given again after its end, and the clock may be set meanwhile.

Linux counts the start of a process in ticks since the boot (proc(5), field 22 of `stat`), which no clock moves.
"""

import os
import zlib
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TICK_BITS, _BOOT_BITS = 34, 19
"""Five years of ticks, and half a million boots to be told apart: together what a float holds exactly."""

_STATE, _START = 0, 19
"""Places behind the name in `stat`."""


def this_process() -> tuple[int, float]:
    """Our own process id, and what tells us from the others with that id."""
    birth = process_birth(os.getpid())
    assert birth is not None
    return os.getpid(), birth


def is_same_process(pid: int, birth: float) -> bool:
    """Whether `pid` is alive, and still the process with that birth, not a later one with its number."""
    found = _read_stat(pid)
    return found is not None and found[_STATE] not in "ZX" and _birth(found) == birth


def process_birth(pid: int) -> float | None:
    """When in which boot `pid` began, as one number to compare; None when there is no such process."""
    found = _read_stat(pid)
    return None if found is None else _birth(found)


def process_start_time(pid: int) -> float | None:
    """When `pid` began, in seconds since the epoch by the clock of now; None when it is not alive."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def _birth(stat: list[str]) -> float:
    boot = zlib.crc32(_BOOT_ID.read_bytes()) % 2**_BOOT_BITS
    return float(boot << _TICK_BITS | int(stat[_START]))


def _read_stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # a name may have spaces and brackets
