"""Stop a run that another process is at: as Ctrl-C there would, and wait for what becomes of it."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass

from data_contracts.errors import BurnishError, HomeError, NotFoundError
from flows.past_runs import PastStage, find_run, past_stages, run_state
from infra import records as states
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Run
from infra.stage_processes import STOP_SECONDS

_MARGIN_SECONDS = 30.0
"""For what a run does after its stages: closing its records in MLflow and Prefect."""

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run after it was asked to stop."""

    run: Run
    state: str
    interrupted: dict[str, int | None]
    """Stages that were at work, with the step of the checkpoint they continue at; None where there is none."""


def interrupt(run: Run) -> None:
    """Ask the run's process to stop; returns at once. Raises NotFoundError for a run that is not running."""
    state = run_state(run)
    if state != states.RUNNING:
        raise NotFoundError(
            f"Run {run.run_id} is not running: {state}.", "a running run", "See `burnish runs`."
        )
    with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
        try:
            os.kill(run.pid, signal.SIGINT)
        except PermissionError as error:
            raise HomeError(
                f"Run {run.run_id} belongs to another user (process {run.pid}).",
                "a run of this user",
                "Ask whoever started it.",
            ) from error


def wait_until_stopped(home: Home, ledger: Ledger, run: Run) -> Stopped:
    """Raises BurnishError when it is still at work after the time that its stages have for a checkpoint."""
    deadline = time.monotonic() + STOP_SECONDS + _MARGIN_SECONDS
    while run_state(ended := find_run(ledger, run.run_id)) == states.RUNNING:
        if time.monotonic() > deadline:
            raise BurnishError(
                f"Run {run.run_id} was asked to stop and is still at work (process {run.pid}).",
                f"an end within {STOP_SECONDS + _MARGIN_SECONDS:.0f} s",
                "`burnish status` shows what it does; `burnish cancel` once more ends it without waiting.",
            )
        time.sleep(_POLL_SECONDS)
    at_work = [past for past in past_stages(ledger, ended) if past.state == states.INTERRUPTED]
    steps = {past.stage.stage: checkpoint_step(home, past) for past in at_work}
    return Stopped(ended, run_state(ended), steps)


def checkpoint_step(home: Home, past: PastStage) -> int | None:
    """The step of the newest checkpoint that an unfinished stage left."""
    found = (home.work_dir / past.stage.key / "checkpoints").glob("checkpoint-*/trainer_state.json")
    return max((int(path.parent.name.rpartition("-")[2]) for path in found), default=None)
