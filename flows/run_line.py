"""The list of past runs, as a person or a program reads it: one line a run."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from rich.markup import escape
from rich.table import Table

from flows.past_runs import CRASHED, run_state
from flows.plan_view import duration
from infra import records as states
from infra.ledger import Ledger
from infra.records import Run

Line: TypeAlias = tuple[int, str]
"""Indent in columns, and text."""

TABLE_COLUMNS = 76
"""A terminal narrower than this gets lines instead of a table."""

_STYLES = {
    states.DONE: "green",
    states.REUSED: "cyan",
    states.FAILED: "red",
    CRASHED: "red",
    states.REFUSED: "red",
    states.RUNNING: "yellow",
    states.INTERRUPTED: "yellow",
}


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in one line."""

    run: Run
    state: str
    seconds: float | None
    """None for a run that crashed: nobody knows when."""

    ran: int
    reused: int
    failed: int
    accuracy: float | None
    """Of the last model that was evaluated."""


def run_line(ledger: Ledger, run: Run) -> RunLine:
    counts = Counter(stage.state for stage in ledger.run_stages(run.run_id))
    state = run_state(run)
    ended = time.time() if state == states.RUNNING else run.ended
    lines: Sequence[Mapping[str, Any]] = run.summary["lines"] if run.summary else ()
    evaluated = [line["accuracy"] for line in lines if line["accuracy"] is not None]
    return RunLine(
        run=run,
        state=state,
        seconds=None if ended is None else ended - run.started,
        ran=counts[states.DONE],
        reused=counts[states.REUSED],
        failed=counts[states.FAILED],
        accuracy=evaluated[-1] if evaluated else None,
    )


def runs_table(lines: Sequence[RunLine]) -> Table:
    """For a terminal of at least `TABLE_COLUMNS`."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("run", "recipe", "state", "began", "took"):
        table.add_column(heading, no_wrap=heading != "recipe", overflow="fold")
    table.add_column("ran, reused, failed", justify="right", max_width=9)
    table.add_column("acc. %", justify="right", no_wrap=True)
    for line in lines:
        counts = f"{line.ran}, {line.reused}, {line.failed}"
        began = datetime.fromtimestamp(line.run.started).strftime("%m-%d %H:%M")
        accuracy = "–" if line.accuracy is None else f"{100 * line.accuracy:.1f}"
        name, state = escape(line.run.recipe), styled(line.state)
        table.add_row(line.run.run_id, name, state, began, _took(line.seconds), counts, accuracy)
    return table


def run_lines(line: RunLine) -> list[Line]:
    """The same for a narrow terminal and as the head of one run, with markup."""
    began = datetime.fromtimestamp(line.run.started).strftime("%Y-%m-%d %H:%M:%S")
    counts = f"{line.ran} ran, {line.reused} reused, {line.failed} failed"
    accuracy = "" if line.accuracy is None else f"; last accuracy {100 * line.accuracy:.1f} %"
    return [
        (0, f"[bold]{line.run.run_id}[/] {escape(line.run.recipe)} {styled(line.state)}"),
        (2, f"began {began}, took {_took(line.seconds)}"),
        (2, f"{counts}{accuracy}"),
    ]


def run_document(line: RunLine) -> dict[str, Any]:
    """For programs; times in seconds since the epoch."""
    run = line.run
    return {
        "run": run.run_id,
        "recipe": run.recipe,
        "state": line.state,
        "started": run.started,
        "ended": run.ended,
        "seconds": line.seconds,
        "ran": line.ran,
        "reused": line.reused,
        "failed": line.failed,
        "accuracy": line.accuracy,
        "prefect_flow_run": run.flow_run_id,
        "mlflow_run": run.mlflow_run_id,
    }


def styled(state: str) -> str:
    """A state in its colour."""
    return f"[{_STYLES[state]}]{state}[/]" if state in _STYLES else state


def _took(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)
