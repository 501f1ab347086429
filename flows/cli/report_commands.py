"""`burnish report`: one HTML file that says what a run came to."""

import time
import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.cli.context import open_context
from flows.cli.past_commands import RunName
from flows.past_runs import find_run


def report(
    run: RunName = None,
    *,
    output: Annotated[
        Path | None, Parameter(help="Where to write it. Default: reports/RUN.html in the home.")
    ] = None,
    open_: Annotated[bool, Parameter(name="--open", negative=(), help="Show it in a browser.")] = False,
) -> None:
    """Write the report of a run: verdict, accuracy, curves, alarms, gates, completions, data, cost, lineage, recipe.

    One HTML file that needs no network: send it, print it, read it on a phone. It is kept with the run in MLflow too.

    For example:

        burnish report
        burnish report tiny --open
        burnish report 20261121-0634 --output report.html
    """
    from flows.report.publishing import keep_in_mlflow
    from flows.report.report import report_path, write_report

    context = open_context()
    chosen = find_run(context.ledger, run)
    path = output or report_path(context.home, chosen)
    write_report(context.home, context.ledger, chosen, path, time.time())
    context.console.print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)", highlight=False, soft_wrap=True)
    for untold in keep_in_mlflow(context.home, chosen, path):
        context.console.print(f"MLflow has no copy: {untold}", highlight=False, markup=False)
    if open_:
        webbrowser.open(path.resolve().as_uri())
