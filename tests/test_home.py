"""The home: found, created, refused with a reason; its locks name their holder and die with it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_contracts.errors import HomeError
from infra.home import HOME_FORMAT, Home, home_path, open_home, publish_directory, write_atomically

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


def test_who_waits_is_told_once_who_holds_and_gets_the_lock_next(
    home: Home, other: "subprocess.Popen[str]"
) -> None:
    told: list[str] = []

    def on_wait(holder: str) -> None:
        told.append(holder)
        other.communicate("release\n")

    with home.lock("recipe-small", holder="me", on_wait=on_wait):
        assert told == [f"a run of small (process {other.pid})"]


def test_the_lock_of_a_killed_holder_is_free(home: Home, other: "subprocess.Popen[str]") -> None:
    other.send_signal(signal.SIGKILL)
    other.communicate()
    told: list[str] = []
    with home.lock("recipe-small", holder="me", on_wait=told.append):
        assert told == []


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
