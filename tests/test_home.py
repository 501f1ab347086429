"""The home: found, created, refused with a reason; its locks name their holder and die with it."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_contracts.errors import HomeError, Interrupted
from infra import holders
from infra.holders import read_sign, try_lock
from infra.home import HOME_FORMAT, Home, home_path, open_home, write_atomically
from infra.publishing import publish_directory

PROJECT = Path(__file__).resolve().parent.parent


def test_opening_a_home_twice_changes_nothing(tmp_path: Path) -> None:
    open_home(tmp_path / "a" / "home")
    before = sorted(tmp_path.rglob("*"))
    open_home(tmp_path / "a" / "home")
    assert sorted(tmp_path.rglob("*")) == before
    assert json.loads((tmp_path / "a" / "home" / "home.json").read_text()) == {"format": HOME_FORMAT}


def test_the_environment_names_the_home_before_anything_else(tmp_path: Path) -> None:
    open_home(tmp_path / ".burnish")
    assert home_path({"BURNISH_HOME": str(tmp_path / "other")}, tmp_path) == tmp_path / "other"


def test_the_nearest_home_above_is_used(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "a" / ".burnish").mkdir()  # a folder of that name alone is no home
    open_home(tmp_path / ".burnish")
    assert home_path({}, below) == tmp_path / ".burnish"


def test_without_a_home_one_is_meant_here_and_not_made(tmp_path: Path) -> None:
    assert home_path({"BURNISH_HOME": ""}, tmp_path) == tmp_path / ".burnish"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "home", "a/b"])
def test_a_home_that_cannot_be_a_directory_is_refused(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(HomeError) as caught:
        open_home(tmp_path / "file" / below)
    assert "cannot be written" in str(caught.value)
    assert "Set BURNISH_HOME" in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_quotation_mark_in_the_path_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="has a quotation mark in its path"):
        open_home(tmp_path / "somebody's home")
    assert list(tmp_path.iterdir()) == []


def test_a_newer_home_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home.json").write_text(json.dumps({"format": HOME_FORMAT + 1}))
    with pytest.raises(HomeError, match=f"newer Burnish \\(format {HOME_FORMAT + 1}\\)"):
        open_home(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["home.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": "new"}'])
def test_a_damaged_marker_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "home.json").write_text(content)
    with pytest.raises(HomeError, match=r"home\.json is damaged"):
        open_home(tmp_path)


def test_writing_atomically_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    for text in ("old", "new"):
        write_atomically(tmp_path / "file", text)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "new"}


def test_publishing_a_directory_moves_it(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "weights").write_text("w")
    publish_directory(tmp_path / "made", tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "weights").read_text() == "w"


def test_publishing_equal_content_again_keeps_the_first(tmp_path: Path) -> None:
    for name in ("kept", "made"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    publish_directory(tmp_path / "made", tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "weights").read_text() == "kept"


# Locks

_HOLD = """
import sys
from pathlib import Path
from infra.home import Home
with Home(Path(sys.argv[1])).lock("recipe-small", holder="a run of small"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def other(home: Home) -> "subprocess.Popen[str]":
    """Another process, which holds the lock until it reads a line or dies."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(home.path)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_who_waits_is_told_who_holds_and_since_when_and_gets_the_lock_next(
    home: Home, other: "subprocess.Popen[str]"
) -> None:
    told: list[str] = []

    def on_wait(holder: str) -> None:
        told.append(holder)
        other.communicate("release\n")

    with home.lock("recipe-small", holder="me", on_wait=on_wait):
        (words,) = told
        assert re.fullmatch(rf"a run of small \(process {other.pid}, for \d s\)", words)


def test_who_waits_long_is_told_again(
    home: Home, other: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders, "REPEAT_SECONDS", 0.0)
    told: list[str] = []

    def on_wait(holder: str) -> None:
        told.append(holder)
        if len(told) == 3:
            other.communicate("release\n")

    with home.lock("recipe-small", holder="me", on_wait=on_wait):
        assert len(told) == 3


def test_who_waits_can_be_stopped(home: Home, other: "subprocess.Popen[str]") -> None:
    with (
        pytest.raises(Interrupted, match="Stopped while waiting for the recipe-small of"),
        home.lock("recipe-small", holder="me", should_stop=lambda: True),
    ):
        pass
    other.communicate("release\n")
    with home.lock("recipe-small", holder="me", should_stop=lambda: True):
        pass


def test_a_lock_that_is_not_free_in_time_is_an_error_that_names_its_holder(
    home: Home, other: "subprocess.Popen[str]"
) -> None:
    with (
        pytest.raises(
            HomeError, match=rf"was not free for 0 s: a run of small \(process {other.pid}, for .* has it"
        ),
        home.lock("recipe-small", holder="me", timeout_seconds=0.01),
    ):
        pass
    other.communicate("release\n")


def test_the_lock_of_a_killed_holder_is_free_and_its_sign_is_nobodys(
    home: Home, other: "subprocess.Popen[str]"
) -> None:
    sign = home.lock_path("recipe-small").with_suffix(".holder")
    assert read_sign(sign) is not None
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert sign.exists() and read_sign(sign) is None
    told: list[str] = []
    with home.lock("recipe-small", holder="me", on_wait=told.append):
        assert told == []


def test_between_taking_a_lock_and_saying_so_no_earlier_holder_is_named(
    home: Home, other: "subprocess.Popen[str]"
) -> None:
    """The other was killed with its sign up; somebody has the lock since, and has not written yet."""
    other.kill()
    other.communicate()
    lock = try_lock(home.lock_path("recipe-small"))
    assert lock is not None
    told: list[str] = []
    with (
        pytest.raises(Interrupted),
        home.lock("recipe-small", holder="me", on_wait=told.append, should_stop=lambda: True),
    ):
        pass
    os.close(lock)
    assert told == ["a process that is just beginning or ending"]


def test_a_lock_whose_file_was_removed_meanwhile_is_not_held(home: Home) -> None:
    """Else two could hold it: the one of the removed file, and the one of the file that has its name now."""
    path = home.lock_path("x")
    real = fcntl.flock

    def remove_and_lock(descriptor: int, how: int) -> None:
        path.unlink()
        real(descriptor, how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holders.fcntl, "flock", remove_and_lock)
        assert try_lock(path) is None
    lock = try_lock(path)
    assert lock is not None
    os.close(lock)


def test_other_names_are_other_locks(home: Home, other: "subprocess.Popen[str]") -> None:
    told: list[str] = []
    with home.lock("recipe-other", holder="me", on_wait=told.append):
        assert told == []
    other.communicate("release\n")


def test_a_lock_is_free_after_an_error_inside(home: Home) -> None:
    told: list[str] = []
    for _ in range(2):
        with pytest.raises(KeyError), home.lock("x", holder="me", on_wait=told.append):
            raise KeyError
    assert told == []
    assert list((home.path / "locks").glob("*.holder")) == []
