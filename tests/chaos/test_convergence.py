"""Whatever kills a run at whatever instant: the same command again ends as if nothing had happened."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.chaos.boundaries import PROJECT

_FOLDER = Path(os.environ.get("BURNISH_CHAOS", Path(tempfile.gettempdir()) / f"burnish-chaos-{os.getuid()}"))
"""Where the long form keeps what it has done, so that `make chaos` goes on where it was ended."""


def test_some_kills_in_one_stage_leave_no_trace(tmp_path: Path):
    require_same("tests.chaos.warm", tmp_path, "--points", "2", "--from", "sft", "--until", "sft")


@pytest.mark.chaos
def test_hundreds_of_kills_at_every_write_of_every_stage_leave_no_trace():
    require_same("tests.chaos.warm", _FOLDER / "warm", "--points", "220")


@pytest.mark.chaos
def test_no_disturbance_of_the_command_line_leaves_a_trace():
    require_same("tests.chaos.command_line", _FOLDER / "command-line")


def require_same(module: str, folder: Path, *arguments: str) -> None:
    """Run a harness: what it prints says which points ended differently, and how."""
    done = subprocess.run([sys.executable, "-m", module, str(folder), *arguments], cwd=PROJECT, check=False)
    assert done.returncode == 0
