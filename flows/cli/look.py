"""`burnish status`: how far a run is."""

import time
from datetime import datetime

from rich.table import Table

from flows.cli.context import open_context, plain_text, print_json
from flows.cli.past_commands import RunName
from flows.cli.run_commands import Json
from flows.past_runs import PastStage, find_run, past_stages, run_state
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
