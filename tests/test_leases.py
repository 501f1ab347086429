"""Accelerators are held all or none, by one stage at a time, and freed by the kernel when a holder dies."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from data_contracts.errors import Interrupted, StageError
from infra.leases import lease_accelerators, leases_dir

PROJECT = Path(__file__).resolve().parent.parent


def _lease(
    folder: Path, count: int, available: int, told: list[str], holder: str = "me", stop: bool = True
) -> AbstractContextManager[tuple[int, ...]]:
    """A lease that gives up instead of waiting."""
    return lease_accelerators(
        count, available, holder=holder, on_wait=told.append, should_stop=lambda: stop, directory=folder
    )


def test_none_are_held_when_none_are_wanted(tmp_path: Path) -> None:
    with _lease(tmp_path, 0, 0, []) as indices:
        assert indices == ()
    assert list(tmp_path.iterdir()) == []


def test_two_leases_hold_different_accelerators(tmp_path: Path) -> None:
    with _lease(tmp_path, 1, 3, []) as first, _lease(tmp_path, 2, 3, []) as second:
        assert (first, second) == ((0,), (1, 2))


def test_more_than_there_are_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with (
        pytest.raises(StageError, match=r"this machine has 1\.(.|\n)*--set run.accelerators=0"),
        _lease(tmp_path, 2, 1, []),
    ):
        pass


def test_a_lease_is_free_again_after_it_ends(tmp_path: Path) -> None:
    for _ in range(2):
        with contextlib.suppress(KeyError), _lease(tmp_path, 1, 1, []) as indices:
            assert indices == (0,)
            raise KeyError
    assert list(tmp_path.glob("*.holder")) == []


def test_who_cannot_have_all_holds_none_and_is_told_who_does(tmp_path: Path) -> None:
    told: list[str] = []
    with _lease(tmp_path, 1, 2, [], holder="sft of run 1"):
        with pytest.raises(Interrupted, match="waiting for an accelerator"), _lease(tmp_path, 2, 2, told):
            pass
        with _lease(tmp_path, 1, 2, told) as free:
            assert free == (1,)
    assert len(told) == 1
    assert "sft of run 1 (process " in told[0]


def test_who_waits_goes_on_when_the_holder_ends(tmp_path: Path) -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with _lease(tmp_path, 1, 1, []):
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    waiting = lease_accelerators(
        1, 1, holder="me", on_wait=lambda _: release.set(), should_stop=lambda: False, directory=tmp_path
    )
    with waiting as indices:
        assert indices == (0,)
    thread.join()


_HOLD = """
import sys
from pathlib import Path
from infra.leases import lease_accelerators
with lease_accelerators(
    1, 1, holder="other", on_wait=print, should_stop=lambda: False, directory=Path(sys.argv[1])
):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_lease_of_a_killed_process_is_free(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    told: list[str] = []
    with pytest.raises(Interrupted), _lease(tmp_path, 1, 1, told):
        pass
    assert told == [f"other (process {other.pid})"]
    other.send_signal(signal.SIGKILL)
    other.wait()
    with _lease(tmp_path, 1, 1, []) as indices:
        assert indices == (0,)


def test_leases_are_kept_per_user_and_not_per_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("BURNISH_HOME", "/elsewhere")
    assert leases_dir() == tmp_path / "burnish" / "leases"
