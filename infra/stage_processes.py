"""Run a stage in a process of its own, and follow it through the files it writes.

Children come from a fork server that has imported the heavy libraries once, so a stage starts in
hundredths of a second. The server only ever imports: one matrix product in it would start a thread pool
that every forked child inherits broken, and hang them all.
"""

import atexit
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from multiprocessing import reduction
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from data_contracts.errors import BurnishError, Interrupted, LostProcessError, StageError, error_from_document
from data_contracts.jobs import INTERRUPTED_EXIT, Progress, StageJob, StageResult

START_SECONDS = 120.0
"""A child that has not reported by then is killed and replaced by a spawned one."""

STOP_SECONDS = 30.0
"""Between asking a child to checkpoint and stop (SIGTERM) and killing it: training begins its checkpoint after the
update it is at, GRPO after the round of sampling. Killed before, it continues from the checkpoint it wrote last."""

SAVE_SECONDS = 600.0
"""Instead, for a child that is writing its checkpoint: a large model's takes minutes."""

_POLL_SECONDS = 0.1

_starting = threading.Lock()

Target = Callable[[str], None]


def start_fork_server(preload: Sequence[str]) -> None:
    """Begin importing `preload` in the background. Returns at once; the first stage waits for the rest."""
    from multiprocessing import forkserver

    multiprocessing.set_forkserver_preload(list(preload))
    with _deaf_to_interrupts():
        forkserver.ensure_running()
    atexit.register(_end_fork_server)


def run_stage(
    target: Target,
    job: StageJob,
    *,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    locks: Sequence[int] = (),
) -> StageResult:
    """Run `target(job document)` in a child until it ends.

    The child holds `locks`, file descriptors of ours, for as long as it lives: when we are killed, it takes its
    time to write a checkpoint, and nobody is to touch its files or its accelerators meanwhile.

    Raises the child's own BurnishError, Interrupted when `should_stop` became true, or StageError when the
    child died without a word.
    """
    job.work_dir.mkdir(parents=True, exist_ok=True)
    for stale in (job.result_path, job.error_path, job.progress_path):
        stale.unlink(missing_ok=True)
    process = _start(target, job, _Inherited(locks))
    reader = _ProgressReader(job.progress_path)
    try:
        stopping_since: float | None = None
        while process.is_alive():
            process.join(_POLL_SECONDS)
            for progress in reader.read():
                on_progress(progress)
            if stopping_since is None and should_stop():
                stopping_since = time.monotonic()
                process.terminate()
            elif stopping_since is not None and time.monotonic() - stopping_since > _patience(job):
                process.kill()
        for progress in reader.read():
            on_progress(progress)
    except BaseException:
        _end(process)
        raise
    return _result(job, process.exitcode, stopped=stopping_since is not None)


def _patience(job: StageJob) -> float:
    is_saving = any(job.unfinished_checkpoints_dir.glob("checkpoint-*"))
    return SAVE_SECONDS if is_saving else STOP_SECONDS


@contextlib.contextmanager
def _deaf_to_interrupts() -> Generator[None]:
    """What is started meanwhile inherits this: Ctrl-C is ours to pass on, also while the server imports."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_fork_server() -> None:
    """At once, whatever it still imports: it holds this process's output open, and a reader of it waiting."""
    from multiprocessing import forkserver

    server: Any = forkserver
    pid: int | None = server._forkserver._forkserver_pid
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class _Inherited:
    """File descriptors that a child gets by being started with this, and keeps open for its whole life."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._descriptors = descriptors

    def __reduce__(self) -> tuple[type[tuple[Any, ...]], tuple[list[Any]]]:
        """What is pickled for a child that is being started takes its descriptors along."""
        return tuple, ([reduction.DupFd(descriptor) for descriptor in self._descriptors],)


def _run_holding(target: Target, document: str, _inherited: object) -> None:
    target(document)


def _start(target: Target, job: StageJob, locks: _Inherited) -> ForkServerProcess | multiprocessing.Process:
    arguments = (target, job.model_dump_json(), locks)
    forked = multiprocessing.get_context("forkserver").Process(target=_run_holding, args=arguments)
    try:
        with _no_main_module():
            forked.start()
    except EOFError as error:
        raise StageError(
            f"The process that stages are forked from was killed before {job.name} began.",
            "a process that lives as long as the run",
            "Look for a lack of memory; run again.",
        ) from error
    deadline = time.monotonic() + START_SECONDS
    while forked.is_alive() and not job.progress_path.exists():
        if time.monotonic() > deadline:
            forked.kill()
            forked.join()
            spawned = multiprocessing.get_context("spawn").Process(target=_run_holding, args=arguments)
            with _no_main_module():
                spawned.start()
            return spawned  # pyright: ignore[reportReturnType]
        time.sleep(0.01)
    return forked


@contextlib.contextmanager
def _no_main_module() -> Generator[None]:
    """Or each child would import the parent's main script, the whole command line, for nothing (0.3 s)."""
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _end(process: ForkServerProcess | multiprocessing.Process) -> None:
    process.terminate()
    process.join(STOP_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


def _result(job: StageJob, exit_code: int | None, *, stopped: bool) -> StageResult:
    """A result is written last and whole: it counts, whatever became of the process afterwards."""
    if job.result_path.exists():
        return StageResult.model_validate_json(job.result_path.read_text())
    if stopped or exit_code == INTERRUPTED_EXIT:
        raise Interrupted(f"Stage {job.name} was stopped; a rerun continues from here.")
    raise _child_error(job, exit_code)


def _child_error(job: StageJob, exit_code: int | None) -> BurnishError:
    if job.error_path.exists():
        return error_from_document(json.loads(job.error_path.read_text()))
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        is_lost = name == "SIGKILL"
        hint = " (out of memory is the usual sender)" if is_lost else ""
        return (LostProcessError if is_lost else StageError)(
            f"The process of stage {job.name} was killed by {name}{hint}.",
            "a process that runs to its end",
            f"See {job.log_path}; a rerun continues from its last checkpoint.",
        )
    return StageError(
        f"The process of stage {job.name} ended with exit code {exit_code}: {_last_line(job.log_path)}",
        "a process that writes its result",
        f"See {job.log_path}",
    )


def _last_line(path: Path) -> str:
    if not path.exists():
        return "it wrote no log"
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"


class _ProgressReader:
    """Yields the whole lines that appeared since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Progress]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._offset += len(complete)
        return [Progress.model_validate_json(line) for line in complete.splitlines() if line != b"{}"]
