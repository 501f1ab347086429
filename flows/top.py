"""What runs just now: the runs of this home with their stages, the machine's accelerators, the home's servers."""

import os
import time
from dataclasses import dataclass
from typing import Any

from flows.progress_tail import read_tail
from flows.run_view import finite
from flows.stage_numbers import StageNumbers
from infra import records as states
from infra.home import Home
from infra.lease_list import Leases, read_leases
from infra.leases import leases_dir
from infra.ledger import Ledger
from infra.liveness import live_runs
from infra.process_memory import memory_by_log
from infra.records import Run, RunStage
from infra.server_process import Server
from infra.servers import running_servers


@dataclass(frozen=True, slots=True)
class StageAtWork:
    """A stage that runs, or waits for what it needs to."""

    stage: RunStage
    numbers: StageNumbers | None
    """None before it has told anything."""

    memory_bytes: int | None
    """Resident, of its processes; None where it has none."""


@dataclass(frozen=True, slots=True)
class RunAtWork:
    """A run whose process is alive."""

    run: Run
    stages: tuple[StageAtWork, ...]
    num_ended: int
    num_stages: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it at one time."""

    taken: float
    """Seconds since the epoch."""

    runs: tuple[RunAtWork, ...]
    leases: Leases
    servers: tuple[Server, ...]


def take_snapshot(home: Home, ledger: Ledger) -> Snapshot:
    """Reads the ledger, the ends of progress files, locks and the system's processes."""
    servers = running_servers(home.path)
    return Snapshot(
        taken=time.time(),
        runs=tuple(_run_at_work(home, ledger, run) for run in live_runs(ledger)),
        leases=read_leases(leases_dir(os.environ)),
        servers=(servers.prefect, servers.mlflow) if servers else (),
    )


def snapshot_document(snapshot: Snapshot) -> dict[str, Any]:
    """For programs: times in seconds, memory in bytes."""
    return {
        "runs": [_run_document(each, snapshot.taken) for each in snapshot.runs],
        "accelerators": [{"index": index, "held_by": who} for index, who in snapshot.leases.held.items()],
        "waiting": list(snapshot.leases.waiting),
        "servers": [{"name": each.name, "url": each.url, "pid": each.pid} for each in snapshot.servers],
    }


def _run_at_work(home: Home, ledger: Ledger, run: Run) -> RunAtWork:
    stages, memory = ledger.run_stages(run.run_id), memory_by_log(run.pid)
    at_work: list[StageAtWork] = []
    for stage in stages:
        if stage.state == states.RUNNING:
            folder = home.work_dir / stage.key
            numbers = read_tail(folder / "progress.jsonl", stage.started or 0.0)
            at_work.append(StageAtWork(stage, numbers, memory.get((folder / "stage.log").resolve())))
    ended = sum(stage.ended is not None for stage in stages)
    return RunAtWork(run, tuple(at_work), ended, len(stages))


def _run_document(at_work: RunAtWork, now: float) -> dict[str, Any]:
    run = at_work.run
    return {
        "run": run.run_id,
        "recipe": run.recipe,
        "pid": run.pid,
        "started": run.started,
        "seconds": now - run.started,
        "stages_ended": at_work.num_ended,
        "stages_total": at_work.num_stages,
        "stages": [_stage_document(each, now) for each in at_work.stages],
    }


def _stage_document(at_work: StageAtWork, now: float) -> dict[str, Any]:
    stage, numbers = at_work.stage, at_work.numbers or StageNumbers()
    return {
        "stage": stage.stage,
        "kind": stage.kind,
        "seconds": now - (stage.started or now),
        "step": numbers.step,
        "total": numbers.total,
        "unit": numbers.unit,
        "seconds_per_step": numbers.seconds_per_step,
        "seconds_left": numbers.seconds_left,
        "newest": {label: finite(value) for label, value in numbers.newest.items()},
        "memory_bytes": at_work.memory_bytes,
    }
