"""A run's report handed on: to MLflow, beside the run, and to Prefect, as an artifact of the flow run that made it.

A report that cannot be handed on holds up nothing: the file is there, and the reason is told.
"""

from pathlib import Path

from data_contracts.errors import BurnishError
from flows.past_runs import find_run
from flows.report.report import report_path, verdict_of, write_report
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Run

PREFECT_KEY = "burnish-report"
"""Under this Prefect lists the reports of all runs, the newest first."""


def publish_report(home: Home, ledger: Ledger, run_id: str, now: float) -> list[str]:
    """Write the report of a run whose flow run we are in, and hand it on; returns why MLflow has no copy.

    `now` is in seconds since 1970. Raises NotFoundError for a run that the ledger does not have.
    """
    run = find_run(ledger, run_id)
    path = report_path(home, run)
    write_report(home, ledger, run, path, now)
    link_from_prefect(run, path, verdict_of(home, ledger, run, now))
    return keep_in_mlflow(home, run, path)


def keep_in_mlflow(home: Home, run: Run, path: Path) -> list[str]:
    """Put the file into the run's MLflow run; returns why that failed. A run that never reached MLflow has none."""
    if run.mlflow_run_id is None or not home.has_mlflow:
        return []
    from infra.mlflow_reports import keep_report  # 2 s of imports

    try:
        keep_report(home, run.mlflow_run_id, path)
    except BurnishError as error:
        return [error.found]
    return []


def link_from_prefect(run: Run, path: Path, sentence: str) -> None:
    """Show on the page of the flow run we are in what the run came to, and where its report is.

    `sentence` is the verdict. Prefect's page opens no files, so the report is named, and the command that shows it.
    """
    from prefect.artifacts import create_markdown_artifact

    where = f"`{path}`, and `report.html` of MLflow run `{run.mlflow_run_id}`"
    create_markdown_artifact(
        f"**{sentence}**\n\nReport: {where}. `burnish report {run.run_id} --open` shows it.",
        key=PREFECT_KEY,
        description=f"Report of run {run.run_id} of {run.recipe}",
    )
