"""`burnish run` and `burnish plan`."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Generator
from dataclasses import asdict
from typing import Annotated, Any, NoReturn

from cyclopts import Parameter
from rich.console import Console

from data_contracts.errors import RecipeError
from flows.cli.context import Context, open_context, print_json
from flows.cli.json_lines import JsonLinesView
from flows.live_view import LiveView
from flows.past_runs import find_run
from flows.plan import Action, Plan, Wishes, make_plan
from flows.plan_diff import differences
from flows.plan_view import difference_table, plan_document, plan_sentences, plan_table
from flows.recipe_files import find_recipe, read_recipe
from flows.running import run_here
from flows.summary import RunSummary, closing_sentences, summary_table
from flows.view import PlainView, RunView, SilentView
from infra import records as states
from infra.home import free_bytes
from infra.ledger import Ledger

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
Strict = Annotated[
    bool,
    Parameter(negative=(), help="Run again what other library versions or other hardware made."),
]
Override = Annotated[
    str | None, Parameter(help="Why to go on where a gate refuses; kept in the ledger.", show_default=False)
]
Json = Annotated[
    bool, Parameter(name="--json", negative=(), help="Print one JSON document instead of tables.")
]
Quiet = Annotated[
    bool,
    Parameter(negative=(), help="Print nothing while it runs, only what it came to and what went wrong."),
]
JsonLines = Annotated[
    bool,
    Parameter(
        name="--json-lines",
        negative=(),
        help="Print one JSON object a line for every event (plan, begin, progress, alarm, wait, end, say) as it "
        "happens; the last line, the event `summary`, is the document that --json prints.",
    ),
]


def run(
    recipe: RecipeName,
    *,
    set_: Overrides = None,
    force: Force = None,
    until: Until = None,
    strict: Strict = False,
    override: Override = None,
    quiet: Quiet = False,
    json: Json = False,
    json_lines: JsonLines = False,
) -> None:
    """Run a recipe; what is stored already is reused.

    For example:

        burnish run tiny
        burnish run tiny --until sft
        burnish run tiny --set dpo.beta=4 --set seed=1
        burnish run my.yaml --force grpo
        burnish run tiny --json-lines | grep alarm

    Ctrl-C stops the running stages with a checkpoint; the same command continues. The last line says
    where to look next. Exit code 0 done, 1 a stage failed or a gate refused, 2 the recipe or its data, 130 interrupted.
    """
    terminal = Terminal(context := open_context(), quiet=quiet, json=json, json_lines=json_lines)
    wanted = read_recipe(find_recipe(recipe), set_ or [])
    wishes = Wishes(frozenset(force or ()), until, strict, override)
    summary = run_here(context.home, wanted, wishes, terminal)
    if not terminal.print_document(summary.model_dump(mode="json")):
        print_summary(context, summary)


def plan(
    recipe: RecipeName,
    *,
    set_: Overrides = None,
    force: Force = None,
    until: Until = None,
    strict: Strict = False,
    diff: Annotated[
        str | None, Parameter(help="Compare with this run instead: what differs, node by node.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what a run would do, and why, without doing it.

    Why reads from left to right: `← dpo weights change ← dpo.beta 5 → 4` says that the stage runs since the
    weights of dpo will change, and those since its beta did.

    For example:

        burnish plan tiny
        burnish plan tiny --set dpo.beta=4
        burnish plan tiny --diff 20260102-030405-ab12
        burnish plan my.yaml --json
    """
    context = open_context()
    wanted = read_recipe(find_recipe(recipe), set_ or [])
    wishes = Wishes(frozenset(force or ()), until, strict)
    planned = make_plan(wanted, context.home, context.ledger, wishes)
    if diff is not None:
        run = find_run(context.ledger, diff)
        found = differences(planned, context.ledger, run)
        if json:
            print_json({"run": run.run_id, "nodes": [asdict(each) for each in found]})
        else:
            context.console.print(difference_table(planned, run, found))
    elif json:
        print_json(plan_document(planned))
    else:
        show_plan(context, planned)


def show_plan(context: Context, planned: Plan) -> None:
    """The table, and what it comes to."""
    context.console.print(plan_table(planned, context.console.width))
    for sentence in plan_sentences(planned, free_bytes(context.home)):
        context.console.print(sentence, highlight=False, markup=False)


class Terminal:
    """Shows a run to the person, or the program, that started it."""

    def __init__(self, context: Context, *, quiet: bool, json: bool, json_lines: bool) -> None:
        """Raises RecipeError where more than one way is wanted."""
        if quiet + json + json_lines > 1:
            raise RecipeError("--quiet, --json and --json-lines do not go together.", "one of them")
        self._context, self._is_quiet, self._json = context, quiet or json, json
        self._lines = JsonLinesView() if json_lines else None
        self._says = Console(stderr=True, highlight=False)

    def on_wait(self, holder: str) -> None:
        self._says.print(f"Waiting: {holder} is at work in this home. Ctrl-C gives up.")

    def on_plan(self, planned: Plan) -> None:
        if self._lines is not None:
            self._lines.tell("plan", **plan_document(planned))
        elif not self._is_quiet:
            show_plan(self._context, planned)
            self._says.print("Starting Prefect…")

    def print_document(self, document: dict[str, Any]) -> bool:
        """What the run came to, for programs; False where a person is to read it."""
        if self._lines is not None:
            self._lines.tell("summary", **document)
        elif self._json:
            print_json(document)
        return self._json or self._lines is not None

    def on_finished(self, num_nodes: int) -> None:
        self._says.print(f"Nothing to run: all {num_nodes} nodes are reused.")

    @contextlib.contextmanager
    def watching(self, planned: Plan, stop: threading.Event) -> Generator[RunView]:
        with self._view(planned) as view, _stopping(stop, view, self._context.ledger):
            yield view

    @contextlib.contextmanager
    def _view(self, planned: Plan) -> Generator[RunView]:
        console = self._context.console
        if self._lines is not None or self._is_quiet:
            yield self._lines or SilentView()
        elif console.is_terminal and not console.is_dumb_terminal:
            steps = [step for step in planned.steps if step.action is not Action.later]
            with LiveView(console, {step.node.name: step.node.parents for step in steps}) as live:
                yield live
        else:
            yield PlainView(console)


@contextlib.contextmanager
def _stopping(stop: threading.Event, view: RunView, ledger: Ledger) -> Generator[None]:
    """First Ctrl-C: stages write a checkpoint and stop. Second: at once."""

    def on_interrupt(_signal: int, _frame: object) -> None:
        if stop.is_set():
            view.close()
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


def print_run(context: Context, summary: RunSummary) -> None:
    """The table of the run's models, and where they are."""
    if summary.lines:
        context.console.print(summary_table(summary))
    context.console.print(f"Run {summary.run_id}, everything in {context.home.path}", highlight=False)


def print_summary(context: Context, summary: RunSummary) -> None:
    """The same, what it says of the last model, and what to do with that."""
    print_run(context, summary)
    for sentence in closing_sentences(summary):
        context.console.print(sentence, highlight=False)
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
