"""Which process is which, when clocks are set and numbers are given again."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra.process_identity import is_same_process, process_birth, this_process

GONE = 2**22 + 1
"""More than the highest process number of Linux."""


def test_a_process_is_itself_and_no_other() -> None:
    pid, birth = this_process()
    assert is_same_process(pid, birth)
    assert not is_same_process(pid, birth - 1)
    assert not is_same_process(GONE, birth)
    assert process_birth(GONE) is None


def test_a_clock_that_is_set_back_or_forth_leaves_a_process_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the kernel calls the time of the boot moves with the clock, and with it every start in seconds."""
    pid, birth = this_process()
    started = psutil.Process(pid).create_time()
    boot_time = psutil._pslinux.boot_time  # type: ignore[attr-defined]
    for hours in (-1, 24):
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot_time() + hours * 3600)  # type: ignore[attr-defined]  # noqa: B023
        assert abs(psutil.Process(pid).create_time() - started) > 3000, "the clock was set"
        assert is_same_process(pid, birth)


def test_a_process_that_has_ended_is_dead_while_its_parent_has_not_asked(tmp_path: Path) -> None:
    odd = tmp_path / "a) Z (1 2"  # a name that looks like the fields behind it
    odd.symlink_to(sys.executable)
    with subprocess.Popen([odd, "-Sc", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        birth = process_birth(child.pid)
        assert birth is not None
        assert is_same_process(child.pid, birth)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_same_process(child.pid, birth)
        assert process_birth(child.pid) == birth, "its number is not given again yet"
