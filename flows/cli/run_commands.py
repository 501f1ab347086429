"""`burnish run` and `burnish plan`."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Generator
from typing import Annotated, Any, NoReturn

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from flows.cli.context import Context, open_context, print_json
from flows.plan import Action, Plan, make_plan
from flows.recipe import Recipe
from flows.recipe_files import find_recipe, read_recipe
from flows.summary import RunSummary, closing_sentences, summarise, summary_table
from flows.view import LiveView, PlainView, RunView, SilentView, current_view
from infra import records as states
from infra.environment import run_environment
from infra.ledger import Ledger
from infra.run_server import run_server
from infra.stage_processes import start_fork_server, this_process
from stages.child import PRELOAD

RecipeName = Annotated[str, Parameter(help="A shipped recipe (see `burnish recipes`) or a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    Parameter(
        name=["--set"], negative=(), help="Override a field, as in `--set dpo.beta=4`. May be repeated."
    ),
]
Force = Annotated[
    list[str] | None,
    Parameter(negative=(), help="Run this stage again whatever is stored. May be repeated."),
]
Until = Annotated[str | None, Parameter(help="Stop after this stage.")]
Json = Annotated[
    bool, Parameter(name="--json", negative=(), help="Print one JSON document instead of tables.")
]


def run(
    recipe: RecipeName,
    *,
    set_: Overrides = None,
    force: Force = None,
    until: Until = None,
    json: Json = False,
) -> None:
    """Run a recipe; what is stored already is reused.

    For example:

        burnish run tiny
        burnish run tiny --until sft
        burnish run tiny --set dpo.beta=4 --set seed=1
        burnish run my.yaml --force grpo

    Ctrl-C stops the running stages with a checkpoint; the same command continues. The last line says
    where to look next. Exit code 0 done, 1 a stage failed, 2 the recipe or its data, 130 interrupted.
    """
    context = open_context()
    wanted = read_recipe(find_recipe(recipe), set_ or [])
    with context.home.lock(
        f"recipe-{wanted.name}",
        holder=f"a run of {wanted.name}",
        on_wait=lambda who: Console(stderr=True).print(
            f"Waiting: {who} is at work in this home. Ctrl-C gives up."
        ),
    ):
        planned = make_plan(wanted, context.home, context.ledger, force=force or (), until=until)
        if planned.is_finished and context.home.mlflow_path.is_file():
            summary = _reuse(context, planned)
        else:
            summary = _execute(context, wanted, planned, force or [], until, quiet=json)
    if json:
        print_json(summary.model_dump(mode="json"))
    else:
        _print_summary(context, summary)


def plan(
    recipe: RecipeName,
    *,
    set_: Overrides = None,
    force: Force = None,
    until: Until = None,
    json: Json = False,
) -> None:
    """Show what a run would do, and why, without doing it.

    For example:

        burnish plan tiny
        burnish plan tiny --set dpo.beta=4
        burnish plan my.yaml --json
    """
    context = open_context()
    wanted = read_recipe(find_recipe(recipe), set_ or [])
    planned = make_plan(wanted, context.home, context.ledger, force=force or (), until=until)
    if json:
        print_json(
            [
                {
                    "name": step.node.name,
                    "kind": step.node.kind,
                    "action": step.action.value,
                    "reason": step.reason,
                    "key": step.node.key,
                    "parents": step.node.parents,
                }
                for step in planned.steps
            ]
        )
    else:
        context.console.print(plan_table(planned))


def plan_table(planned: Plan) -> Table:
    """One row per node, in an order in which parents come first."""
    table = Table(title=f"{planned.recipe.name}: plan", title_justify="left")
    for heading in ("stage", "kind", "action", "why"):
        table.add_column(heading, no_wrap=heading != "why")
    styles = {Action.run: "bold yellow", Action.reuse: "green", Action.depends: "cyan", Action.later: "dim"}
    for step in planned.steps:
        style = styles[step.action]
        table.add_row(step.node.name, step.node.kind, f"[{style}]{step.action.value}[/]", step.reason)
    return table


def _reuse(context: Context, planned: Plan) -> RunSummary:
    """A run with nothing to do: the ledger notes it, and Prefect is never imported."""
    pid, started = this_process()
    run_id = context.ledger.begin_run(
        planned.recipe.name, planned.recipe.model_dump(mode="json"), pid, started
    )
    executions = {step.node.name: step.execution for step in planned.steps if step.execution is not None}
    for name, execution in executions.items():
        detail = f"{execution.name} v{execution.version} of run {execution.run_id}"
        context.ledger.set_stage(run_id, name, execution.kind, execution.key, states.REUSED, detail)
    summary = summarise(planned, executions, run_id)
    context.ledger.end_run(run_id, states.DONE, summary.model_dump(mode="json"))
    reused = f"Nothing to run: all {len(executions)} nodes are reused."
    Console(stderr=True).print(reused, highlight=False)
    return summary


def _execute(
    context: Context, recipe: Recipe, planned: Plan, force: list[str], until: str | None, *, quiet: bool
) -> RunSummary:
    needs_hub = recipe.base.model is not None or any(d.hub for d in recipe.datasets.values())
    os.environ.update(run_environment(context.home, os.environ, needs_hub=needs_hub))
    with contextlib.ExitStack() as stack:
        # Both import for seconds, beside the checks below.
        start_fork_server(PRELOAD)
        server = None if "PREFECT_API_URL" in os.environ else stack.enter_context(run_server(context.home))
        from flows.preflight import require_sound

        prepared = require_sound(planned, context.home)
        if not quiet:
            context.console.print(plan_table(planned))
        if server is not None:
            os.environ["PREFECT_API_URL"] = server.api_url  # before Prefect is imported
        with Console(stderr=True).status("Starting Prefect…") if not quiet else contextlib.nullcontext():
            from flows.pipeline import post_training, prepared_rows, send_logs, stop_requested

            if server is not None:
                server.wait_until_it_answers()
        stop = threading.Event()
        prepared_rows.set(prepared)
        stop_requested.set(stop)
        to_do = sum(step.action is not Action.later for step in planned.steps)
        view = stack.enter_context(_view(context.console, to_do, quiet=quiet))
        stack.enter_context(_stopping(stop, view, context.ledger))
        current_view.set(view)
        stack.callback(send_logs)  # before the server goes
        document: Any = post_training(recipe.model_dump(mode="json"), force, until)
    return RunSummary.model_validate(document)


@contextlib.contextmanager
def _view(console: Console, num_stages: int, *, quiet: bool) -> Generator[RunView]:
    if quiet:
        yield SilentView()
    elif console.is_terminal:
        with LiveView(console, num_stages) as live:
            yield live
    else:
        yield PlainView(console)


@contextlib.contextmanager
def _stopping(stop: threading.Event, view: RunView, ledger: Ledger) -> Generator[None]:
    """First Ctrl-C: stages write a checkpoint and stop. Second: at once."""

    def on_interrupt(_signal: int, _frame: object) -> None:
        if stop.is_set():
            _leave_at_once(ledger)
        stop.set()
        view.say("Stopping: running stages write a checkpoint first. Ctrl-C again stops at once.")

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave_at_once(ledger: Ledger) -> NoReturn:
    """Wait for no thread. Stages and servers see that this process is gone, and end by themselves."""
    for run in ledger.runs(limit=20):
        if run.pid == os.getpid() and run.state == states.RUNNING:
            ledger.end_run(run.run_id, states.INTERRUPTED, None)
    os._exit(130)


def _print_summary(context: Context, summary: RunSummary) -> None:
    if summary.lines:
        context.console.print(summary_table(summary))
    for sentence in closing_sentences(summary):
        context.console.print(sentence, highlight=False)
    context.console.print(f"Run {summary.run_id}, everything in {context.home.path}", highlight=False)
    evaluated = [line for line in summary.lines if line.accuracy is not None]
    if evaluated:
        last = evaluated[-1]
        context.console.print(
            f"Next: [bold]burnish samples {last.stage}[/] (completions with their verdicts), "
            f"[bold]burnish models[/], [bold]burnish promote {summary.recipe}[/], "
            f"[bold]burnish chat {last.model}[/], [bold]burnish ui[/] (Prefect's and MLflow's pages)",
            highlight=False,
        )
    sys.stdout.flush()
