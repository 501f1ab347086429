"""`burnish verifier rescore`."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from data_contracts.errors import Interrupted
from flows.cli.context import plain_console, print_json
from flows.cli.data_context import Reference, open_data, print_made, require_new_name, rows_line
from flows.cli.run_commands import Json
from flows.cli.verifier_options import Added, read_added
from flows.task_runners import RunnerName, require_runner, task_runner
from infra.environment import run_environment
from infra.run_server import run_server

if TYPE_CHECKING:
    from flows.rescoring import Rescored

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Ray asks for this before it says anything to its makers; Dask says nothing to anybody."""


def rescore(
    rollouts: Reference,
    *,
    to: Annotated[
        str | None, Parameter(help="The dataset whose next version it becomes; by default the rollouts'.")
    ] = None,
    verifier: Annotated[
        str | None, Parameter(help="Judge all rows by this one instead of their own verifiers.")
    ] = None,
    arguments: Annotated[
        str | None, Parameter(help="A JSON object: arguments for all rows instead of their own.")
    ] = None,
    add: Added = (),
    runner: Annotated[
        RunnerName, Parameter(help="Where it runs: threads of this process, or workers of Dask or Ray.")
    ] = "threads",
    address: Annotated[
        str | None,
        Parameter(help="A running cluster, such as tcp://host:8786. Without it one of this machine's cores."),
    ] = None,
    json: Json = False,
) -> None:
    """Judge rollouts again, and keep them with their new verdicts as a version.

    For a verifier that was corrected, or to try another one on completions that are there already. Rows whose
    verifier fails stay out. Same verdicts, no new version. Workers of a cluster elsewhere need this version of
    Burnish, the verifiers that --add names, and a Prefect server they can reach (PREFECT_API_URL).

    For example:

        burnish verifier rescore tiny.sft_check
        burnish verifier rescore tiny.sft_check@1 --verifier math --to by_math
        burnish verifier rescore samples --add mine=my_verifier.py:LAST_WORD --verifier mine --to by_mine
        burnish verifier rescore samples --runner dask --address tcp://10.0.0.5:8786
    """
    if to is not None:
        require_new_name(to)
    require_runner(runner, address)
    added = dict(read_added(add))
    context = open_data()
    version = context.warehouse.get(rollouts)
    os.environ.update(run_environment(context.home, os.environ, needs_hub=False) | _QUIET)
    with contextlib.ExitStack() as stack:
        server = None if "PREFECT_API_URL" in os.environ else stack.enter_context(run_server(context.home))
        if server is not None:
            os.environ["PREFECT_API_URL"] = server.api_url  # before Prefect is imported
        with Console(stderr=True).status("Starting Prefect…"):
            from flows import rescoring
            from flows.pipeline import send_logs

            if server is not None:
                server.wait_until_it_answers()
        stack.callback(send_logs)  # before the server goes
        scratch = stack.enter_context(tempfile.TemporaryDirectory(dir=context.home.work_dir))
        flow = rescoring.rescore.with_options(task_runner=task_runner(runner, address, Path(scratch)))
        rescoring.on_progress.set(stack.enter_context(rows_line("Judging")).show)
        try:
            rescored: Rescored = flow(str(version), to or version.name, verifier, arguments, added)
        except KeyboardInterrupt as interrupt:
            raise Interrupted(
                "The rescoring was stopped.", "", "No version was made: run it again."
            ) from interrupt
    if json:
        print_json(_document(rescored))
        return
    plain_console().print(_table(rescored))
    print_made(context.warehouse, rescored.published)


def _document(rescored: "Rescored") -> dict[str, Any]:
    return {
        "version": str(rescored.published.version),
        "is_new": rescored.published.is_new,
        "rows": rescored.num_rows,
        "withdrawn": rescored.withdrawn,
        "without_verdict": rescored.without_verdict,
        "rose": rescored.rose,
        "fell": rescored.fell,
        "stayed": rescored.stayed,
        "accuracy_before": rescored.accuracy(rescored.right_before),
        "accuracy_after": rescored.accuracy(rescored.right_after),
        "seconds": rescored.seconds,
        "verdicts_per_second": rescored.verdicts_per_second,
    }


def _table(rescored: "Rescored") -> Table:
    table = Table(show_header=False)
    table.add_row("rows", f"{rescored.num_rows:,}")
    left_out = {"withdrawn": rescored.withdrawn, "without a verdict": rescored.without_verdict}
    for why, count in left_out.items():
        if count:
            table.add_row("left out", f"{count:,} {why}")
    for label, count in (("rose", rescored.rose), ("fell", rescored.fell), ("stayed", rescored.stayed)):
        table.add_row(f"rewards that {label}", f"{count:,} ({count / rescored.num_rows:.1%})")
    for when, right in (("before", rescored.right_before), ("after", rescored.right_after)):
        share, low, high = rescored.accuracy(right)
        table.add_row(f"accuracy {when}", f"{share:.1%} ({low:.1%} to {high:.1%})")
    table.add_row("seconds", f"{rescored.seconds:.1f}, {rescored.verdicts_per_second:,.0f} verdicts a second")
    return table
