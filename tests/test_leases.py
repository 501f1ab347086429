"""Accelerators are held all or none, by one stage at a time, in the order of asking; death frees them."""

import contextlib
import itertools
import os
import random
import signal
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from data_contracts.errors import Interrupted, StageError
from flows.live_view import LiveView
from flows.view import PlainView
from infra import holders
from infra.holders import Holder, read_sign, sign, try_lock
from infra.leases import Lease, lease_accelerators, leases_dir

PROJECT = Path(__file__).resolve().parent.parent


def _lease(
    folder: Path,
    count: int,
    available: int,
    told: list[str] | None = None,
    holder: str = "me",
    stop: Callable[[], bool] = lambda: True,
) -> AbstractContextManager[Lease]:
    """A lease that gives up instead of waiting."""
    return lease_accelerators(
        count,
        available,
        holder=Holder(what=holder, home="/home/of/it"),
        on_wait=(told if told is not None else []).append,
        should_stop=stop,
        directory=folder,
    )


def test_none_are_held_when_none_are_wanted(tmp_path: Path) -> None:
    with _lease(tmp_path / "leases", 0, 0) as lease:
        assert lease.indices == ()
    assert list(tmp_path.iterdir()) == []


def test_two_leases_hold_different_accelerators(tmp_path: Path) -> None:
    with _lease(tmp_path, 1, 3) as first, _lease(tmp_path, 2, 3) as second:
        assert (first.indices, second.indices) == ((0,), (1, 2))


def test_more_than_there_are_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with (
        pytest.raises(StageError, match=r"this machine has 1\.(.|\n)*--set run.accelerators=0"),
        _lease(tmp_path, 2, 1),
    ):
        pass


def test_a_lease_is_free_again_after_it_ends_and_leaves_only_empty_locks(tmp_path: Path) -> None:
    for _ in range(2):
        with contextlib.suppress(KeyError), _lease(tmp_path, 1, 1) as lease:
            assert lease.indices == (0,)
            raise KeyError
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "accelerator-0.lock": b"",
        "line.lock": b"",
    }


def test_who_cannot_have_all_holds_none_and_is_told_who_does(tmp_path: Path) -> None:
    told: list[str] = []
    with _lease(tmp_path, 1, 2, holder="sft of run 1"):
        with pytest.raises(Interrupted, match="waiting for an accelerator"), _lease(tmp_path, 2, 2, told):
            pass
        with _lease(tmp_path, 1, 2, told) as free:
            assert free.indices == (1,)
    sft = f"sft of run 1 (process {os.getpid()}, home /home/of/it, for 0 s)"
    assert told == [f"accelerator 0 is held by {sft}"]


def test_accelerators_of_one_holder_are_named_together(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        _lease(tmp_path, 2, 3, holder="sft of run 1"),
        _lease(tmp_path, 1, 3, holder="dpo of run 2"),
        pytest.raises(Interrupted),
        _lease(tmp_path, 1, 3, told),
    ):
        pass
    (line,) = told
    assert line.startswith("accelerators 0, 1 are held by sft of run 1 (")
    assert "; accelerator 2 is held by dpo of run 2 (" in line


def test_who_waits_is_told_again_and_goes_on_when_the_holder_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders, "REPEAT_SECONDS", 0.0)
    held, release = threading.Event(), threading.Event()
    told: list[str] = []

    def hold() -> None:
        with _lease(tmp_path, 1, 1):
            held.set()
            release.wait()

    def on_wait(who: str) -> None:
        told.append(who)
        if len(told) == 3:
            release.set()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    waiting = lease_accelerators(
        1, 1, holder=Holder(what="me"), on_wait=on_wait, should_stop=lambda: False, directory=tmp_path
    )
    with waiting as lease:
        assert lease.indices == (0,)
    thread.join()
    assert len(told) >= 3


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (4, "4 s"), (59, "59 s"), (240, "4 min"), (7199, "120 min"), (9000, "2.5 h")],
)
def test_a_holder_is_described_with_the_time_it_has_held(seconds: float, words: str) -> None:
    holder = Holder(what="grpo of run X", home="/path", pid=123, since=1000.0)
    assert holder.describe(None, 1000 + seconds) == f"grpo of run X (process 123, home /path, for {words})"
    assert "process 123, user anna, home" in holder.describe("anna", 1000.0)


# The order


class _Waiter:
    """A thread that asks for accelerators and keeps them until told."""

    def __init__(self, folder: Path, count: int, available: int, name: str, taken: list[str]) -> None:
        self._folder, self._count, self._available = folder, count, available
        self._name, self._taken = name, taken
        self.release = threading.Event()
        self.is_waiting = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        def on_wait(_: str) -> None:
            self.is_waiting.set()

        with lease_accelerators(
            self._count,
            self._available,
            holder=Holder(what=self._name),
            on_wait=on_wait,
            should_stop=lambda: False,
            directory=self._folder,
        ):
            self._taken.append(self._name)
            self.release.wait()

    def end(self) -> None:
        self.release.set()
        self._thread.join()


def test_a_small_request_does_not_overtake_a_large_one(tmp_path: Path) -> None:
    """Two of three are held: one more is free, but who asks for it stands behind who asks for two."""
    taken: list[str] = []
    with contextlib.ExitStack() as first:
        first.enter_context(_lease(tmp_path, 2, 3))
        large = _Waiter(tmp_path, 2, 3, "large", taken)
        large.is_waiting.wait()
        told: list[str] = []
        with pytest.raises(Interrupted), _lease(tmp_path, 1, 3, told):
            pass
        assert "; before it comes large (process" in told[0]
        small = _Waiter(tmp_path, 1, 3, "small", taken)
        small.is_waiting.wait()
        assert taken == []
    large.end()
    small.end()
    assert taken == ["large", "small"]


def test_who_gives_up_leaves_the_line(tmp_path: Path) -> None:
    with _lease(tmp_path, 1, 2):
        with pytest.raises(Interrupted), _lease(tmp_path, 2, 2):
            pass
        with _lease(tmp_path, 1, 2) as lease:
            assert lease.indices == (1,)


def test_requests_of_any_size_are_all_served_and_never_more_than_there_are(tmp_path: Path) -> None:
    """Eight threads ask for one to four of four, at random and again and again."""
    in_use: Counter[int] = Counter()
    most: Counter[int] = Counter()
    counting = threading.Lock()

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(5):
            with _lease(tmp_path, chance.randint(1, 4), 4, stop=lambda: False) as lease:
                with counting:
                    in_use.update(lease.indices)
                    most.update({index: max(0, in_use[index] - most[index]) for index in lease.indices})
                with counting:
                    in_use.subtract(lease.indices)

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert set(most.values()) == {1}
    assert set(in_use.values()) == {0}


# Several processes and homes

_HOLD = """
import os, sys
from io import StringIO
from pathlib import Path
from infra.holders import Holder
from infra.leases import lease_accelerators
with lease_accelerators(
    int(sys.argv[2]), int(sys.argv[3]), holder=Holder(what="other", home=os.environ["BURNISH_HOME"]),
    on_wait=lambda who: print("waits:", who, flush=True), should_stop=lambda: False, directory=Path(sys.argv[1]),
):
    print("held", flush=True)
    sys.stdin.readline()
"""

Other = "subprocess.Popen[str]"
Start = Callable[[int, int, str], Other]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Another process, with a home of its own, that asks for `count` of `available`."""
    started: list[subprocess.Popen[str]] = []

    def start(count: int, available: int, home: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(tmp_path), str(count), str(available)],
            cwd=PROJECT,
            env=os.environ | {"BURNISH_HOME": home},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _says(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def test_the_lease_of_a_killed_process_is_free_and_its_sign_is_nobodys(tmp_path: Path, start: Start) -> None:
    other = start(1, 1, "/home/of/other")
    assert _says(other) == "held"
    told: list[str] = []
    with pytest.raises(Interrupted), _lease(tmp_path, 1, 1, told):
        pass
    assert told[0].startswith(
        f"accelerator 0 is held by other (process {other.pid}, home /home/of/other, for "
    )
    other.send_signal(signal.SIGKILL)
    other.wait()
    (left,) = tmp_path.glob("*.holder")
    assert read_sign(left) is None
    with _lease(tmp_path, 1, 1, told) as lease:
        assert lease.indices == (0,)
    assert len(told) == 1
    assert list(tmp_path.glob("*.holder")) == []


def test_between_taking_a_lock_and_saying_so_no_earlier_holder_is_named(tmp_path: Path, start: Start) -> None:
    """Killed with its sign up; the next one holds the lock and has not written yet."""
    other = start(1, 1, "/home/of/other")
    assert _says(other) == "held"
    other.kill()
    other.wait()
    lock = try_lock(tmp_path / "accelerator-0.lock")
    assert lock is not None
    told: list[str] = []
    with pytest.raises(Interrupted), _lease(tmp_path, 1, 1, told):
        pass
    os.close(lock)
    assert told == ["it is held by a process that is just beginning or ending"]


def test_who_was_killed_in_line_is_not_waited_for(tmp_path: Path, start: Start) -> None:
    with _lease(tmp_path, 1, 2):
        doomed = start(2, 2, "/a")
        assert _says(doomed).startswith("waits: accelerator 0 is held by me (")
        told: list[str] = []
        with pytest.raises(Interrupted), _lease(tmp_path, 1, 2, told):
            pass
        assert "before it comes other" in told[0]
        doomed.kill()
        doomed.wait()
        with _lease(tmp_path, 1, 2) as lease:
            assert lease.indices == (1,)
    assert list(tmp_path.glob("*.place")) == []


def test_processes_of_two_homes_take_turns_in_the_order_they_came(tmp_path: Path, start: Start) -> None:
    with _lease(tmp_path, 2, 2, holder="sft of run 1"):
        first = start(2, 2, "/home/a")
        assert "held by sft of run 1 (" in _says(first)
        second = start(1, 2, "/home/b")
        assert "before it comes other (process " in _says(second)
    assert _says(first) == "held"
    with pytest.raises(Interrupted), _lease(tmp_path, 1, 2):
        pass
    first.communicate("\n")
    assert _says(second) == "held"


# Many users

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be several users")


def test_leases_are_kept_per_machine_and_not_per_home_or_user() -> None:
    assert leases_dir({"BURNISH_HOME": "/elsewhere", "TMPDIR": "/mine", "HOME": "/me"}) == leases_dir({})
    assert leases_dir({"BURNISH_LEASES": "/shared"}) == Path("/shared")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_folder_is_for_everybody_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "a" / "leases"
    before = os.umask(umask)
    try:
        with _lease(folder, 1, 1):
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert modes == {
        "line.lock": 0o666,
        "accelerator-0.lock": 0o666,
        f"accelerator-0.{os.getuid()}.holder": 0o644,
    }
    assert [path.name for path in folder.parent.iterdir()] == ["leases"]


def _as_user(number: int, work: Callable[[], None]) -> int:
    """Exit code of a child process that is another user."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(number)
            os.setuid(number)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A place that other users can reach."""
    for folder in itertools.takewhile(
        lambda path: path.owner() == "root" and path != Path("/tmp"), tmp_path.parents
    ):
        folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o1777)
    return tmp_path / "leases"


@needs_root
def test_users_wait_for_each_other_and_may_clear_nothing_of_the_others(shared: Path) -> None:
    def hold_and_die() -> None:
        with _lease(shared, 1, 1, holder="theirs"):
            os._exit(0)

    def must_wait() -> None:
        told: list[str] = []
        with pytest.raises(Interrupted), _lease(shared, 1, 1, told, holder="second"):
            pass
        assert told[0].startswith("accelerator 0 is held by mine (process "), told
        assert ", user root, home " in told[0], told

    def take() -> None:
        with _lease(shared, 1, 1, holder="third") as lease:
            assert lease.indices == (0,)

    assert _as_user(4001, hold_and_die) == 0
    assert len(list(shared.glob("*.holder"))) == 1
    with _lease(shared, 1, 1, holder="mine"):
        assert _as_user(4001, must_wait) == 0
    assert _as_user(4002, take) == 0


@needs_root
def test_a_place_in_line_that_is_anothers_and_dead_stops_nobody(shared: Path) -> None:
    def stand_and_die() -> None:
        lease = _lease(shared, 1, 1, stop=lambda: os._exit(0))
        lease.__enter__()

    def take() -> None:
        with _lease(shared, 1, 1):
            pass

    with _lease(shared, 1, 1):
        assert _as_user(4001, stand_and_die) == 0
    assert len(list(shared.glob("*.place"))) == 1
    assert _as_user(4002, take) == 0
    assert len(list(shared.glob("*.place"))) == 1
    with _lease(shared, 1, 1):
        assert list(shared.glob("*.place")) == []


def test_a_link_in_place_of_the_folder_is_refused_and_what_it_names_left_alone(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "leases").symlink_to(tmp_path / "victim")
    with (
        pytest.raises(
            StageError, match=r"cannot be leased in .*leases: Not a directory(.|\n)*BURNISH_LEASES"
        ),
        _lease(tmp_path / "leases", 1, 1),
    ):
        pass
    assert list((tmp_path / "victim").iterdir()) == []


@pytest.mark.parametrize("name", ["line.lock", "accelerator-0.lock"])
def test_a_link_in_place_of_a_lock_is_refused_and_what_it_names_left_alone(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "leases"
    folder.mkdir()
    (folder / name).symlink_to(victim)
    with pytest.raises(StageError, match=name), _lease(folder, 1, 1):
        pass
    assert victim.read_text() == "precious"
    (folder / name).unlink()
    with _lease(folder, 1, 1):
        pass


def test_a_link_in_place_of_a_sign_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f"accelerator-0.{os.getuid()}.holder").symlink_to(victim)
    with _lease(tmp_path, 1, 1):
        pass
    assert victim.read_text() == "precious"


def test_strange_files_in_line_stop_nobody(tmp_path: Path) -> None:
    """Of somebody who writes no sign of ours: a pipe, a link, a directory's worth of nothing."""
    os.mkfifo(tmp_path / "0.1.place")
    (tmp_path / "0.2.place").symlink_to("/dev/zero")
    (tmp_path / "0.3.place").write_text('{"what": "x"}')
    with _lease(tmp_path, 1, 1) as lease:
        assert lease.indices == (0,)


def test_what_a_sign_says_reaches_a_terminal_harmless(tmp_path: Path) -> None:
    with sign(tmp_path / "s", Holder(what="\x1b[2Jgone\n", home="/a\x07", pid=1, since=0.0)):
        told = read_sign(tmp_path / "s")
    assert told is not None and told.isprintable() and told.startswith("?[2Jgone? (process 1, home /a?")


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b'{"what": 3}', b'{"what": "' + b"x" * 100_000])
def test_a_held_sign_that_says_nothing_of_use_names_nobody(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "s"
    lock = try_lock(path)
    assert lock is not None
    path.write_bytes(text)
    assert read_sign(path) is None
    os.close(lock)


# What a person sees


def test_a_wait_is_a_line_in_a_file_and_one_row_on_a_terminal() -> None:
    text = "accelerator 0 is held by [red]grpo[/] of run X (process 1, home /[/b], for 4 min)"
    plain = Console(file=StringIO(), width=40)
    PlainView(plain).wait("sft", text)
    assert plain.file.getvalue() == f"sft: waiting, {text}\n"  # type: ignore[attr-defined]
    live = Console(file=StringIO(), width=200, force_terminal=True, color_system=None, _environ={})
    with LiveView(live, {"sft": ()}) as view:
        view.wait("sft", "for run Y")
        view.wait("sft", text)
        waiting = _rows(view)
        view.begin("sft")
        begun = _rows(view)
        view.end("sft", "failed", "found [/] in a row")
    assert [row for row in waiting if "sft" in row] == [f"◌ sft waiting, {text}"]
    assert len([row for row in begun if "starting" in row]) == 1
    assert not any("waiting" in row for row in begun)
    assert "found [/] in a row" in live.file.getvalue()  # type: ignore[attr-defined]


def _rows(view: LiveView) -> list[str]:
    console = Console(file=StringIO(), width=200)
    console.print(view._live.renderable)  # pyright: ignore[reportPrivateUsage]
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
