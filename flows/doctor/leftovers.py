"""What dead processes left: half-written files, signs of holders, server records, a run's Prefect server."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import filelock
import psutil
from pydantic import ValidationError

from flows.doctor.findings import DONE, Finding, Patient, quietly, unless_a_run_is_live, with_lock
from infra.home import Home
from infra.liveness import held_locks, is_abandoned, is_held, live_runs, remove
from infra.server_process import is_alive
from infra.servers import SERVE, Servers, release_servers, running_servers, stop_servers

_STOP_SECONDS = 10.0
_UNFINISHED = ".unfinished-"
"""Begins the name of the folder in which MLflow's database is made."""


def examine_leftovers(patient: Patient) -> list[Finding]:
    home = patient.home
    return [
        *_temporary_files(home),
        *_half_caches(patient),
        *_signs(home),
        *_records(patient),
        *_run_servers(home),
    ]


def _temporary_files(home: Home) -> list[Finding]:
    folders = [*home.directories, home.fetched_models_dir, home.path / "locks"]
    files = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    found = [path for path in files if is_abandoned(path)]
    findings = [
        Finding(
            f"{path} was being written by a process that is gone.",
            "It takes space, and nothing will ever read it.",
            "Remove it.",
            quietly(partial(remove, path)),
        )
        for path in found
    ]
    for folder in sorted(home.mlflow_path.parent.glob(f"{_UNFINISHED}*")):
        if not is_held(Path(f"{home.mlflow_path}.lock")):
            findings.append(
                Finding(
                    f"{folder} holds an MLflow database that was never finished.",
                    "It takes space, and nothing will ever read it.",
                    "Remove it.",
                    _drop_unfinished(home, folder),
                )
            )
    return findings


def _half_caches(patient: Patient) -> list[Finding]:
    """Reference log-probabilities that a stage was writing; their names do not say which."""
    home, ledger = patient.home, patient.ledger
    if live_runs(ledger) or held_locks(home, "stage-"):
        return []
    return [
        Finding(
            f"{path} was being written by a stage that is gone.",
            "It takes space, and nothing will ever read it.",
            "Remove it.",
            partial(unless_a_run_is_live, ledger, partial(remove, path)),
        )
        for path in sorted(home.reference_cache_dir.glob("*.writing"))
    ]


def _drop_unfinished(home: Home, folder: Path) -> Callable[[], str]:
    def repair() -> str:
        try:
            with filelock.FileLock(f"{home.mlflow_path}.lock", timeout=0):
                remove(folder)
        except filelock.Timeout:
            return "left: MLflow's database is being made"
        return DONE

    return repair


def _signs(home: Home) -> list[Finding]:
    """Files beside locks that name a holder, where nobody holds the lock."""
    stale = [
        path
        for path in sorted((home.path / "locks").glob("*.holder"))
        if not is_held(path.with_suffix(".lock"))
    ]
    return [
        Finding(
            f"{path.name} names a holder of a lock that is free.",
            "Who waits for that lock next may be told to wait for a process that is gone.",
            "Remove it.",
            _take_down(home, path),
        )
        for path in stale
    ]


def _take_down(home: Home, path: Path) -> Callable[[], str]:
    return lambda: with_lock(home, path.stem, quietly(lambda: path.unlink(missing_ok=True)))


def _records(patient: Patient) -> list[Finding]:
    home = patient.home
    record = home.path / "servers.json"
    if not record.exists() or is_held(home.path / "locks" / "servers.lock"):
        return []
    try:
        servers = Servers.model_validate_json(record.read_bytes())
    except ValidationError:
        return [
            Finding(
                f"{record} cannot be read.",
                "No command of this home could ask whether its servers run.",
                "Remove it; servers that run by it end when you end them.",
                lambda: with_lock(home, "servers", quietly(lambda: record.unlink(missing_ok=True))),
            )
        ]
    if running := running_servers(home.path):
        return (
            _left_servers(patient)
            if running.is_left and not is_held(home.path / "locks" / f"{SERVE}.lock")
            else []
        )
    alive = [server.name for server in (servers.prefect, servers.mlflow) if is_alive(server)]
    return [
        Finding(
            f"{record} names servers of which {' and '.join(alive) or 'none'} runs.",
            "The pages of this home are not there, and a half of them holds its port.",
            "End what is left of them and remove the record; `burnish ui` starts both.",
            lambda: _end_servers(home),
        )
    ]


def _left_servers(patient: Patient) -> list[Finding]:
    release = quietly(partial(release_servers, patient.home.path))
    return [
        Finding(
            "The servers of this home outlived the command that had started them.",
            "They take memory and two ports, and nobody is left to end them.",
            "End them; `burnish serve` would use them, and end them with itself.",
            partial(unless_a_run_is_live, patient.ledger, release),
        )
    ]


def _end_servers(home: Home) -> str:
    if is_held(home.path / "locks" / "servers.lock"):
        return "left: somebody starts or stops the servers"
    if running_servers(home.path) is None:
        stop_servers(home.path)
    return DONE


def _run_servers(home: Home) -> list[Finding]:
    return [
        Finding(
            f"Process {process.pid} is the Prefect server of a run that is gone.",
            "It holds memory, a port and the database of Prefect.",
            "End it.",
            _end_process(process),
        )
        for process in psutil.process_iter()
        if _is_left_server(process, home)
    ]


def _is_left_server(process: psutil.Process, home: Home) -> bool:
    """Of this home, and its parent is not the run that opened its log."""
    try:
        command = process.cmdline()
        if "infra.run_server" not in command or command[-1] != str(home.path):
            return False
        return not (home.logs_dir / f"run-server-{process.ppid()}.log").exists()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def _end_process(process: psutil.Process) -> Callable[[], str]:
    def repair() -> str:
        try:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
        except psutil.NoSuchProcess:
            pass
        except psutil.AccessDenied:
            return f"left: process {process.pid} belongs to somebody else"
        return DONE

    return repair
