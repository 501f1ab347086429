"""`burnish status`, `logs`, `cancel` and `samples`: what happened, and what is happening."""

import os
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table

from data_contracts.errors import BurnishError, NotFoundError, RecipeError
from flows.cli.context import Context, find_run, open_context, plain_text, print_json
from flows.cli.run_commands import Json
from infra import records as states
from infra.records import Run, RunStage
from infra.stage_processes import is_same_process

RunName = Annotated[str | None, Parameter(help="A run's id or a recipe's name; the newest run by default.")]

_MARKS = {
    states.DONE: "[green]done[/]",
    states.REUSED: "[cyan]reused[/]",
    states.FAILED: "[red]failed[/]",
    states.RUNNING: "[yellow]running[/]",
    states.INTERRUPTED: "[yellow]interrupted[/]",
}


def status(run: RunName = None, *, json: Json = False) -> None:
    """Show a run stage by stage, and the runs before it.

    For example:

        burnish status
        burnish status tiny
        burnish status 20261121-063416-e607 --json
    """
    context = open_context()
    chosen = find_run(context.ledger, run)
    stages = context.ledger.run_stages(chosen.run_id)
    if json:
        print_json(
            {
                "run": chosen.run_id,
                "recipe": chosen.recipe,
                "state": run_state(chosen),
                "started": chosen.started,
                "ended": chosen.ended,
                "prefect_flow_run": chosen.flow_run_id,
                "mlflow_run": chosen.mlflow_run_id,
                "stages": [
                    {"stage": s.stage, "kind": s.kind, "state": s.state, "detail": s.detail} for s in stages
                ],
            }
        )
        return
    context.console.print(_stage_table(chosen, stages))
    others = [other for other in context.ledger.runs(limit=6) if other.run_id != chosen.run_id]
    for other in others[:5]:
        context.console.print(f"[dim]{other.run_id}  {other.recipe}  {run_state(other)}[/]", highlight=False)


def run_state(run: Run) -> str:
    """A run whose process died without a word is neither running nor done."""
    if run.state == states.RUNNING and not is_same_process(run.pid, run.pid_started):
        return "crashed"
    return run.state


def logs(
    stage: Annotated[str, Parameter(help="A stage's name, such as grpo or sft.evaluate.")],
    run: RunName = None,
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative=(), help="Go on until the stage ends.")
    ] = False,
) -> None:
    """Print what a stage's process wrote.

    For example:

        burnish logs grpo
        burnish logs sft 20261121-063416-e607
        burnish logs grpo -f
    """
    context = open_context()
    chosen = find_run(context.ledger, run)
    stages = {found.stage: found for found in context.ledger.run_stages(chosen.run_id)}
    if stage not in stages:
        raise NotFoundError(f"Run {chosen.run_id} has no stage {stage!r}.", f"one of {', '.join(stages)}")
    offset = _print_from(_log_path(context, chosen, stages[stage]), 0)
    while follow:
        found = next(s for s in context.ledger.run_stages(chosen.run_id) if s.stage == stage)
        live = found.state in (states.RUNNING, states.WAITING) and run_state(chosen) == states.RUNNING
        offset = _print_from(_log_path(context, chosen, found), offset)
        if not live:
            break
        time.sleep(0.5)
    if offset == 0:
        detail = stages[stage].detail
        raise NotFoundError(
            f"Stage {stage} of run {chosen.run_id} wrote no log ({stages[stage].state}: {detail})."
        )


def cancel(run: RunName = None) -> None:
    """Stop a running run as Ctrl-C would: its stages write a checkpoint first.

    For example:

        burnish cancel
        burnish cancel tiny
    """
    context = open_context()
    chosen = find_run(context.ledger, run)
    state = run_state(chosen)
    if state != states.RUNNING:
        raise NotFoundError(
            f"Run {chosen.run_id} is not running: {state}.", "a running run", "See `burnish status`."
        )
    os.kill(chosen.pid, signal.SIGINT)
    context.console.print(f"Asked run {chosen.run_id} to stop; the same `burnish run` continues it.")


def samples(
    stage: Annotated[
        str | None, Parameter(help="A verify stage, or a model stage for its evaluation.")
    ] = None,
    run: RunName = None,
    *,
    wrong: Annotated[bool, Parameter(negative=(), help="Only completions without full reward.")] = False,
    right: Annotated[bool, Parameter(negative=(), help="Only completions with full reward.")] = False,
    limit: Annotated[int, Parameter(help="How many completions.", validator=Number(gte=1))] = 10,
    json: Json = False,
) -> None:
    """Show completions with their verdicts: reward, and the reason for it.

    For example:

        burnish samples
        burnish samples grpo --wrong
        burnish samples sft_check tiny --limit 50 --json
    """
    if wrong and right:
        raise RecipeError("--wrong and --right leave nothing.", "one of them, or neither for all")
    context = open_context()
    chosen = find_run(context.ledger, run)
    verified = {
        found.stage: found
        for found in context.ledger.run_stages(chosen.run_id)
        if found.kind == "verify" and found.state in (states.DONE, states.REUSED)
    }
    if not verified:
        raise NotFoundError(f"Run {chosen.run_id} has no finished verify stage.", "", "See `burnish status`.")
    name = stage or list(verified)[-1]
    name = f"{name}.evaluate" if f"{name}.evaluate" in verified else name
    if name not in verified:
        raise NotFoundError(
            f"Run {chosen.run_id} has no completions of {stage!r}.", f"one of {', '.join(verified)}"
        )
    wanted = True if right else False if wrong else None
    rows = _read_rollouts(context, chosen, name, wanted, limit)
    if json:
        print_json(rows)
    else:
        _print_samples(context.console, name, rows)


def _stage_table(run: Run, stages: list[RunStage]) -> Table:
    began = datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M:%S")
    table = Table(
        title=f"Run {run.run_id} · {run.recipe} · {run_state(run)} · began {began}", title_justify="left"
    )
    for heading in ("stage", "kind", "state"):
        table.add_column(heading, no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("detail", overflow="fold")
    for stage in stages:
        seconds = ""
        if stage.started is not None and stage.state != states.REUSED:
            seconds = f"{(stage.ended or time.time()) - stage.started:.0f}"
        table.add_row(stage.stage, stage.kind, _MARKS.get(stage.state, stage.state), seconds, stage.detail)
    return table


def _log_path(context: Context, run: Run, stage: RunStage) -> Path:
    """The log of this run's execution, of the one it reused, or of the one at work now."""
    runs = [run.run_id, *(execution.run_id for execution in context.ledger.find_by_key(stage.key))]
    kept = [context.home.logs_dir / run_id / f"{stage.stage}.log" for run_id in runs]
    working = context.home.work_dir / stage.key / "stage.log"
    return next((path for path in kept if path.exists()), working)


def _print_from(path: Path, offset: int) -> int:
    if not path.exists():
        return offset
    with path.open("rb") as file:
        file.seek(offset)
        text = file.read()
    Console().print(plain_text(text.decode(errors="replace")), end="", soft_wrap=True)
    return offset + len(text)


def _read_rollouts(
    context: Context, run: Run, stage: str, is_right: bool | None, limit: int
) -> list[dict[str, Any]]:
    from infra.warehouse.warehouse import Warehouse

    found = [
        e for e in context.ledger.find_by_stage(run.recipe, stage) if e.key == _key_of(context, run, stage)
    ]
    if not found:
        raise BurnishError(f"The rows of {stage} are not in the ledger any more.")
    version = Warehouse(context.home).get(f"{found[0].name}@{found[0].version}")
    return Warehouse(context.home).completions(version, is_right, limit)


def _key_of(context: Context, run: Run, stage: str) -> str:
    return next(s.key for s in context.ledger.run_stages(run.run_id) if s.stage == stage)


def _print_samples(console: Console, stage: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"{stage}: completions with their verdicts", title_justify="left", show_lines=True)
    for heading in ("prompt", "completion", "reward", "reason"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        style = "green" if row["reward"] == 1.0 else "red"
        table.add_row(
            plain_text(row["prompt"]),
            plain_text(row["completion"]),
            f"[{style}]{row['reward']:g}[/]",
            plain_text(row["reason"]),
        )
    console.print(table)
