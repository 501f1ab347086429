"""However many stages a process runs, it stays as it was; what a stage took is given back when it ends."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from data_contracts.errors import StageError
from data_contracts.jobs import StageResult
from data_contracts.stage_configs import PairsConfig
from infra.holders import try_lock
from infra.stage_processes import Target, run_stage, start_fork_server
from tests import trivial_stages
from tests.factories import make_job

PROJECT = Path(__file__).resolve().parent.parent
MIB = 1 << 20


def _run(folder: Path, target: Target = trivial_stages.end_at_once) -> StageResult:
    lock = try_lock(folder / "lock")
    assert lock is not None
    try:
        return run_stage(
            target,
            make_job(folder, PairsConfig(rows=["x"])),
            on_progress=lambda _: None,
            should_stop=lambda: False,
            locks=[lock],
        )
    finally:
        os.close(lock)


def test_many_stages_leave_no_memory_descriptor_thread_or_process(tmp_path: Path) -> None:
    start_fork_server(("infra.stage_processes", "tests.trivial_stages"))
    ours = psutil.Process()
    servers = None
    for round_ in range(16):
        pid = int(_run(tmp_path).metrics["pid"])
        assert not psutil.pid_exists(pid)
        if round_ % 4 == 3:
            with pytest.raises(StageError, match="exit code 3"):
                _run(tmp_path, trivial_stages.die)
        if round_ == 5:
            servers = ours.children(recursive=True)
            memory, descriptors, threads = ours.memory_info().rss, ours.num_fds(), ours.num_threads()
    assert ours.children(recursive=True) == servers
    assert (ours.num_fds(), ours.num_threads()) == (descriptors, threads)
    assert ours.memory_info().rss - memory < 4 * MIB


_PARENT = """
import sys
from pathlib import Path
from tests.test_memory import _run
from tests.trivial_stages import wait_for_a_word
print("begins", flush=True)
_run(Path(sys.argv[1]), wait_for_a_word)
"""


def test_a_stage_whose_run_was_killed_holds_its_locks_until_it_ends_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path)], cwd=PROJECT)
    pipe = os.open(tmp_path / "pipe", os.O_WRONLY)  # the stage is there, reading
    parent.kill()
    parent.wait()
    assert try_lock(tmp_path / "lock") is None
    os.close(pipe)
    lock = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)  # as soon as the stage is gone
    os.close(lock)
    assert (tmp_path / "work" / "result.json").exists()
