"""Who ends a home's own servers: the process that keeps them, or whoever comes after it. Stand-ins take their place."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from flows.cli.app import execute
from flows.doctor.checkup import examine
from infra import servers
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.process_identity import process_birth, this_process
from infra.server_process import Server
from infra.servers import SERVE, release_servers, running_servers, start_servers

_STAND_IN = """
import socket, signal, sys
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
signal.pause()
"""
GONE = (2**22 + 5, 1.0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    opened = open_home(tmp_path / "home")
    started: list[subprocess.Popen[str]] = []

    def spawn(_command: list[str], _environment: Mapping[str, str], **named: object) -> Server:
        process = subprocess.Popen(
            [sys.executable, "-c", _STAND_IN], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        birth = process_birth(process.pid)
        assert birth is not None
        given = named | {"port": int(process.stdout.readline()), "pid": process.pid, "birth": birth}
        return Server.model_validate(given)

    opened.mlflow_path.parent.mkdir()
    opened.mlflow_path.touch()
    monkeypatch.setattr(servers, "spawn", spawn)
    monkeypatch.setattr(servers, "is_healthy", lambda _: True)
    monkeypatch.setenv("BURNISH_HOME", str(opened.path))
    yield opened
    for process in started:
        process.kill()
        process.communicate()


def _leave(home: Home) -> None:
    """As a starter that was killed leaves them."""
    record = home.path / "servers.json"
    started = start_servers(home.path)
    record.write_text(started.model_copy(update={"keeper": GONE}).model_dump_json())


def test_servers_end_with_the_process_that_started_them(home: Home) -> None:
    started = start_servers(home.path)
    assert started.keeper == this_process()
    release_servers(home.path)
    assert running_servers(home.path) is None
    assert not any(psutil.pid_exists(each.pid) and _runs(each) for each in (started.prefect, started.mlflow))


def test_servers_that_are_to_stay_outlive_whoever_shares_them_also_when_it_had_started_them(
    home: Home,
) -> None:
    first = start_servers(home.path)
    stays = start_servers(home.path, stay=True)
    assert (stays.prefect, stays.keeper) == (first.prefect, None)
    assert start_servers(home.path) == stays
    release_servers(home.path)
    assert running_servers(home.path) == stays


def test_servers_that_another_process_keeps_are_its_own_to_end(home: Home) -> None:
    started = start_servers(home.path)
    with subprocess.Popen(["sleep", "60"]) as other:
        birth = process_birth(other.pid)
        kept = started.model_copy(update={"keeper": (other.pid, birth)})
        (home.path / "servers.json").write_text(kept.model_dump_json())
        release_servers(home.path)
        assert running_servers(home.path) == kept
        other.kill()
    release_servers(home.path)
    assert running_servers(home.path) is None


def test_servers_of_a_killed_starter_are_shared_named_by_the_doctor_and_ended_by_the_next(home: Home) -> None:
    Ledger(home.ledger_path)
    _leave(home)
    left = running_servers(home.path)
    assert left is not None and left.is_left
    assert start_servers(home.path) == left
    told = "The servers of this home outlived the command that had started them."
    assert told in _found(home)
    with home.lock(SERVE, holder="burnish serve"):
        assert told not in _found(home), "it ends them with itself"
    release_servers(home.path)
    assert running_servers(home.path) is None


def test_the_doctor_ends_left_servers_unless_a_run_may_use_them(home: Home) -> None:
    ledger = Ledger(home.ledger_path)
    run_id = ledger.begin_run("small", {"stages": {}}, *this_process())
    _leave(home)
    _found(home, fix=True)
    assert running_servers(home.path) is not None
    ledger.end_run(run_id, "done", None)
    _found(home, fix=True)
    assert running_servers(home.path) is None


def test_servers_are_not_stopped_under_a_serve_at_work(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    started = start_servers(home.path, stay=True)
    with home.lock(SERVE, holder="burnish serve"):
        assert execute(["ui", "--stop"]) == 2
    assert running_servers(home.path) == started
    said = capsys.readouterr().err
    assert re.search(rf"burnish serve \(process {os.getpid()}, for \d+ s\) is at work with the servers", said)
    assert execute(["ui", "--stop"]) == 0
    assert running_servers(home.path) is None


def test_a_second_serve_is_told_who_is_at_work_and_what_to_do(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    try:
        with home.lock(SERVE, holder="burnish serve"):
            assert execute(["serve"]) == 2
    finally:
        os.environ.clear()
        os.environ.update(before)
    found, expected, do = capsys.readouterr().err.splitlines()
    holder = rf"burnish serve \(process {os.getpid()}, for \d+ s\)"
    assert re.fullmatch(rf"{holder} is at work on the home {re.escape(str(home.path))}\.", found)
    assert expected.startswith("Expected: one `burnish serve` a home")
    assert "`burnish deploy RECIPE`" in do and "SIGTERM" in do


def _found(home: Home, *, fix: bool = False) -> list[str]:
    return [each.found for report in examine(home.path, fix=fix, is_deep=False) for each in report.findings]


def _runs(server: Server) -> bool:
    return psutil.Process(server.pid).status() != psutil.STATUS_ZOMBIE
