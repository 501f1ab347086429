"""The process inside the sandbox: imports once, then forks a child for every job, and never runs a job itself.

`python -m stages.sandbox_entry KIND SOCKET SCRATCH MODULE...` takes jobs from the socket, each with the open
files the child is to have and the limits it is under, and says how the child ended. A child starts from this
clean process, in an empty scratch folder, without any other open file and with no way to start processes, so
when it is killed nothing of it is left.
"""

import array
import gc
import importlib
import json
import math
import os
import random
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, cast

from stages.sandbox_filter import forbid_system_calls
from stages.sandbox_walls import (
    allow_files_below,
    empty,
    enter_namespaces,
    give_up_privileges,
    has_too_many_files,
    visible_paths,
)

MAX_FILES = 8
MAX_MESSAGE_BYTES = 4096
_OPEN_FILES = 64
_THREADS = 256
_FIRST_FILE = 3
SHARED_BY = 4
"""So many may want one processor before a job that only computes counts as waiting."""

_COUNT_SECONDS = 0.05
"""A program makes some thousand files in this time."""

_FAREWELL_SECONDS = 0.2
"""For a job that is told to stop while it ends: how it ended then does not depend on who was faster."""


def main() -> None:
    kind, descriptor, folder, *modules = sys.argv[1:]
    control = socket.socket(fileno=int(descriptor))
    scratch = Path(folder)
    for module in modules:
        importlib.import_module(module)
    try:
        if kind == "namespaces":
            enter_namespaces(visible_paths(), scratch)
        if kind == "limited":
            allow_files_below(visible_paths(), scratch)
        give_up_privileges()
    except OSError as error:
        control.send(json.dumps({"failed": str(error)}).encode())
        return
    os.environ.clear()
    os.environ["HOME"] = folder
    gc.collect()
    gc.freeze()  # children share these pages for as long as nobody writes to them
    control.send(json.dumps({"ready": os.getpid()}).encode())
    _take_jobs(control, scratch, limit_threads=kind != "limited")


def _take_jobs(control: socket.socket, scratch: Path, limit_threads: bool) -> None:
    """Until nobody is left to ask."""
    while True:
        message, files = _receive(control)
        if not message:
            return
        if message == b"stop":  # it came too late: that child had ended
            continue
        job = json.loads(message)
        child = os.fork()
        if child == 0:
            control.close()
            _become(job, files, scratch, limit_threads)
        for descriptor in files:
            os.close(descriptor)
        answer = _watch(child, control, job, scratch)
        empty(scratch)
        control.send(json.dumps(answer).encode())


def _watch(child: int, control: socket.socket, job: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Wait for its end, and bring that about when time is over or somebody says stop (or is gone).

    Or when it has made too many files: to remove them would take longer than to make them.
    """
    began, ended = time.monotonic(), os.pidfd_open(child)
    ready, is_littered = list[int | socket.socket](), False
    while not ready and not is_littered and (seconds := _seconds_left(child, began, job)) > 0:
        ready, _, _ = select.select([ended, control], [], [], min(seconds, _COUNT_SECONDS))
        is_littered = not ready and has_too_many_files(scratch)
    is_out_of_time = not ready and not is_littered
    if control in ready:
        control.recv(MAX_MESSAGE_BYTES)
        ready, _, _ = select.select([ended], [], [], _FAREWELL_SECONDS)
    os.close(ended)
    if ended not in ready:
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    return {
        "exit_code": os.waitstatus_to_exitcode(status),
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "was_stopped": ended not in ready,
        "is_out_of_time": is_out_of_time,
        "is_littered": is_littered,
    }


def _seconds_left(child: int, began: float, job: dict[str, Any]) -> float:
    wall_seconds = time.monotonic() - began
    if job["waiting_seconds"] is None:
        return job["wall_seconds"] - wall_seconds
    cpu_seconds = time.clock_gettime(~child << 3 | 2)  # as clock_getcpuclockid(3) has it
    waited_seconds = wall_seconds - SHARED_BY * cpu_seconds
    return min(job["wall_seconds"] - wall_seconds, job["waiting_seconds"] - waited_seconds)


def _become(job: dict[str, Any], files: list[int], scratch: Path, limit_threads: bool) -> NoReturn:
    """Be the job, under its limits, with its files as descriptors 3, 4, ... and nothing else open."""
    os.setsid()
    os.chdir(scratch)
    parked = [os.dup2(descriptor, 100 + position) for position, descriptor in enumerate(files)]
    for position, descriptor in enumerate(parked):
        os.dup2(descriptor, _FIRST_FILE + position)
    os.closerange(_FIRST_FILE + len(files), os.sysconf("SC_OPEN_MAX"))
    cpu_seconds = math.ceil(job["cpu_seconds"])
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_AS: job["memory_bytes"],
        resource.RLIMIT_FSIZE: job["file_bytes"],
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if limit_threads:  # elsewhere the user's other processes would count
        limits[resource.RLIMIT_NPROC] = _THREADS
    for name, limit in limits.items():
        resource.setrlimit(name, (limit, limit))
    random.seed(0)
    forbid_system_calls()
    module, _, function = job["entry"].partition(":")
    entry = cast("Callable[..., None]", sys.modules[module].__dict__[function])
    entry(*range(_FIRST_FILE, _FIRST_FILE + len(files)))
    sys.exit(0)


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    room = socket.CMSG_LEN(MAX_FILES * descriptors.itemsize)
    message, ancillary, _, _ = control.recvmsg(MAX_MESSAGE_BYTES, room)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data)
    return message, list(descriptors)


if __name__ == "__main__":
    main()
