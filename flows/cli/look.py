"""`burnish status` and `samples`: how far a run is, and the completions behind its numbers."""

import time
from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table

from data_contracts.errors import NotFoundError, RecipeError
from flows.cli.context import open_context, plain_text, print_json
from flows.cli.past_commands import RunName
from flows.cli.run_commands import Json
from flows.past_runs import PastStage, find_run, past_stages, run_state
from flows.recipe import nearest
from flows.run_line import styled
from infra import records as states
from infra.records import Run


def status(run: RunName = None, *, json: Json = False) -> None:
    """Show a run stage by stage, and the runs before it.

    For example:

        burnish status
        burnish status tiny
        burnish status 20261121-063416-e607 --json
    """
    context = open_context()
    chosen = find_run(context.ledger, run)
    stages = past_stages(context.ledger, chosen)
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
                    {
                        "stage": past.stage.stage,
                        "kind": past.stage.kind,
                        "state": past.state,
                        "detail": past.stage.detail,
                    }
                    for past in stages
                ],
            }
        )
        return
    context.console.print(_stage_table(chosen, stages))
    others = [other for other in context.ledger.runs(limit=6) if other.run_id != chosen.run_id]
    for other in others[:5]:
        context.console.print(f"[dim]{other.run_id}  {other.recipe}  {run_state(other)}[/]", highlight=False)


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
    from infra.warehouse.warehouse import Warehouse

    context = open_context()
    chosen = find_run(context.ledger, run)
    verified = {
        past.stage.stage: past.execution
        for past in past_stages(context.ledger, chosen)
        if past.stage.kind == "verify" and past.execution is not None
    }
    if not verified:
        raise NotFoundError(f"Run {chosen.run_id} has no finished verify stage.", "", "See `burnish status`.")
    name = stage or list(verified)[-1]
    name = f"{name}.evaluate" if f"{name}.evaluate" in verified else name
    if name not in verified:
        raise NotFoundError(
            f"Run {chosen.run_id} has no completions of {stage!r}.",
            f"one of {', '.join(verified)}",
            nearest(name, list(verified)),
        )
    wanted = True if right else False if wrong else None
    warehouse, found = Warehouse(context.home), verified[name]
    rows = warehouse.completions(warehouse.get(f"{found.name}@{found.version}"), wanted, limit)
    if json:
        print_json(rows)
    else:
        _print_samples(context.console, name, rows)


def _stage_table(run: Run, stages: list[PastStage]) -> Table:
    began = datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M:%S")
    table = Table(
        title=f"Run {run.run_id} · {run.recipe} · {run_state(run)} · began {began}", title_justify="left"
    )
    for heading in ("stage", "kind", "state"):
        table.add_column(heading, no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("detail", overflow="fold")
    for past in stages:
        stage, seconds = past.stage, ""
        if stage.started is not None and stage.state != states.REUSED:
            seconds = f"{(stage.ended or time.time()) - stage.started:.0f}"
        table.add_row(stage.stage, stage.kind, styled(past.state), seconds, plain_text(stage.detail))
    return table


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
