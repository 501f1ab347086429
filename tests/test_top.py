"""What runs just now: of a home, of its machine, on a terminal and for programs."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from data_contracts.jobs import Progress
from flows.cli.app import execute
from flows.progress_tail import read_tail
from infra.holders import Holder, sign
from infra.home import Home, open_home
from infra.lease_list import Leases, read_leases
from infra.leases import lease_accelerators
from infra.ledger import Ledger
from infra.process_identity import this_process
from infra.process_memory import memory_by_log

HOSTILE = "\x1b[2J[red]\u202e"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = open_home(tmp_path / "home")
    monkeypatch.setenv("BURNISH_HOME", str(home.path))
    monkeypatch.setenv("BURNISH_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("COLUMNS", "60")
    return home


@pytest.fixture
def run(home: Home) -> str:
    """At work in this process: sft is done, grpo at work, dpo waits, and a run before it crashed."""
    ledger = Ledger(home.ledger_path)
    crashed = ledger.begin_run("small", {}, 1, 1.0)
    ledger.set_stage(crashed, "sft", "sft", "k", "running")
    ended = ledger.begin_run("small", {}, *this_process())
    ledger.end_run(ended, "done", None)
    run_id = ledger.begin_run(f"big{HOSTILE}", {}, *this_process())
    for stage, state in {"sft": "done", "grpo": "running", "dpo": "waiting"}.items():
        ledger.set_stage(run_id, stage, stage, f"key-{stage}", state)
    return run_id


def write_lines(path: Path, steps: range, **metrics: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [Progress(seconds=2.0 * step, step=step, total=5000, metrics=metrics) for step in steps]
    path.write_text("{}\n" + "".join(line.model_dump_json(exclude_defaults=True) + "\n" for line in lines))
    return path


@pytest.fixture
def process(home: Home, run: str) -> Iterator[psutil.Process]:
    """A stage's, as far as the system is concerned."""
    log = home.work_dir / "key-grpo" / "stage.log"
    log.parent.mkdir(parents=True)
    code = "import sys; kept = bytearray(50_000_000); print('up', flush=True); sys.stdin.read()"
    with log.open("w") as out:
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=out)
    while "up" not in log.read_text():
        assert child.poll() is None
    yield psutil.Process(child.pid)
    child.communicate()


def test_a_run_at_work_is_shown_with_its_stages_speed_newest_numbers_and_memory(
    home: Home, run: str, process: psutil.Process, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {"grpo/reward": 0.625, "grpo/loss": math.nan, "grpo/tokens_per_second": 1500.0}
    write_lines(home.work_dir / "key-grpo" / "progress.jsonl", range(1, 21), **numbers)
    assert execute(["top", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (shown,) = document["runs"]
    assert (shown["run"], shown["pid"]) == (run, os.getpid())
    assert (shown["stages_ended"], shown["stages_total"]) == (1, 3)
    (stage,) = shown["stages"]
    assert (stage["stage"], stage["step"], stage["total"], stage["unit"]) == ("grpo", 20, 5000, "step")
    assert stage["seconds_per_step"] == pytest.approx(2.0)
    assert stage["seconds_left"] == pytest.approx(2.0 * 4980)
    assert stage["newest"] == {"reward": 0.625, "loss": None}
    assert stage["memory_bytes"] == process.memory_info().rss > 50_000_000
    assert execute(["top", "--once"]) == 0
    out = capsys.readouterr().out
    assert all(row.isprintable() and len(row) <= 60 for row in out.split("\n"))
    lines = [" ".join(row.split()) for row in out.splitlines()]
    assert lines[0].startswith(f"{run} big[2J[red]")
    assert "1/3 stages" in lines[1]
    assert lines[3].endswith("20/5000 steps · 2 h 46 min left")
    memory = f"{process.memory_info().rss / 2**30:.2f} GiB"
    assert " ".join(lines[4:6]) == f"reward 0.625 · loss nan · 1.5k tokens/s · 2.0 s a step · {memory}"


def test_a_stage_that_has_not_had_its_turn_shows_nothing_of_an_earlier_execution(
    home: Home, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lines(home.work_dir / "key-grpo" / "progress.jsonl", range(1, 9), **{"grpo/reward": 0.9})
    os.utime(path, (time.time() - 60, time.time() - 60))
    execute(["top", "--once"])
    out = capsys.readouterr().out
    assert "waiting for its turn" in out and "0.9" not in out


def test_of_a_long_history_only_the_end_is_read_whole_lines_alone(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "progress.jsonl", range(1, 5001), **{"grpo/reward": 0.5})
    assert path.stat().st_size > 2 * 65536
    with path.open("a") as file:
        file.write('{"seconds": 1e9, "step": 9')
    found = read_tail(path, 0.0)
    assert found is not None
    assert (found.step, found.newest) == (5000, {"reward": 0.5})
    assert found.seconds_per_step == pytest.approx(2.0)
    assert len(found.curve("reward")) < 5000
    assert read_tail(tmp_path / "none.jsonl", 0.0) is None


def test_memory_is_that_of_the_processes_that_write_the_log(home: Home, process: psutil.Process) -> None:
    log = (home.work_dir / "key-grpo" / "stage.log").resolve()
    assert memory_by_log(os.getpid())[log] == process.memory_info().rss
    assert memory_by_log(2**22 + 1) == {}, "no such process"


def test_accelerators_are_shown_with_who_holds_them_and_who_waits(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "leases"
    assert read_leases(folder) == Leases() and not folder.exists(), "looking makes nothing"
    with (
        lease_accelerators(
            2,
            2,
            holder=Holder(what=f"grpo {HOSTILE}", home="/h"),
            on_wait=lambda _: None,
            should_stop=lambda: False,
            directory=folder,
        ),
        sign(folder / "00000000000000000002.1.place", Holder(what="dpo of run Y")),
        sign(folder / "00000000000000000001.1.place", Holder(what="sft of run X")),
    ):
        (folder / "accelerator-7.1.holder").write_text(Holder(what="of a dead process").model_dump_json())
        execute(["top", "--json"])
        document = json.loads(capsys.readouterr().out)
        assert [each["index"] for each in document["accelerators"]] == [0, 1]
        assert all(each["held_by"].startswith("grpo ?[2J[red]?") for each in document["accelerators"])
        assert [each.split(" (")[0] for each in document["waiting"]] == ["sft of run X", "dpo of run Y"]
        execute(["top"])
        out = capsys.readouterr().out
        assert "Nothing runs in this home" in out and "waits: sft of run X" in out
    assert read_leases(folder) == Leases(), "released"


def test_a_link_in_the_place_of_the_leases_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with sign(tmp_path / "real" / "1.1.place", Holder(what="sft")):
        assert read_leases(tmp_path / "link") == Leases()
        assert len(read_leases(tmp_path / "real").waiting) == 1
