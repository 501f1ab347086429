"""`burnish runs`, `show` and `compare`: runs that were, one of them, and two side by side."""

import sys
from collections.abc import Iterable
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.padding import Padding

from data_contracts.errors import NotFoundError
from flows.cli.context import open_context, plain_console, print_json
from flows.cli.run_commands import Json
from flows.past_runs import find_recipe_runs, find_run, past_stages
from flows.recipe import nearest
from flows.run_line import TABLE_COLUMNS, run_document, run_line, run_lines, runs_table
from flows.run_view import environment_lines, recipe_as_run, recipe_yaml, stage_document, stage_lines

RUN_HELP = "A run's id or its beginning, a recipe's name for its newest run, or `last`."
RunName = Annotated[str | None, Parameter(help=f"{RUN_HELP} Default: the newest run.")]
EitherRun = Annotated[str, Parameter(help=RUN_HELP)]


def runs(
    recipe: Annotated[str | None, Parameter(help="Only runs of this recipe, by its name.")] = None,
    *,
    limit: Annotated[int, Parameter(help="How many, newest first.", validator=Number(gte=1))] = 20,
    json: Json = False,
) -> None:
    """List the runs of this home, newest first.

    The counts are of stages that ran, were reused and failed. A run whose process died without a word is
    crashed; the same `burnish run` continues it.

    For example:

        burnish runs
        burnish runs tiny --limit 5
        burnish runs --json
    """
    context = open_context()
    lines = [run_line(context.ledger, run) for run in find_recipe_runs(context.ledger, recipe, limit)]
    if json:
        print_json([run_document(line) for line in lines])
    elif not lines:
        context.console.print("Nothing has run in this home yet. `burnish run tiny` starts a first run.")
    elif context.console.width >= TABLE_COLUMNS:
        context.console.print(runs_table(lines))
    else:
        for line in lines:
            _print_lines(context.console, run_lines(line))


def show(
    run: RunName = None,
    *,
    recipe: Annotated[
        bool, Parameter(negative=(), help="Print nothing but its recipe, as YAML that runs again.")
    ] = False,
    json: Json = False,
) -> None:
    """Show one run: its recipe as it ran, changes included, and what each stage came to.

    Of a stage: the version it made, the seconds that took, whether it was reused and which run made it, its
    inputs, its main metrics, and how libraries and hardware here differ from those it was made with (drift).

    For example:

        burnish show
        burnish show 20261121-0634
        burnish show tiny --json
        burnish show last --recipe > mine.yaml
    """
    context = open_context()
    chosen = find_run(context.ledger, run)
    wanted = recipe_as_run(chosen)
    if recipe:
        sys.stdout.write(recipe_yaml(wanted))
        return
    stages = past_stages(context.ledger, chosen)
    line = run_line(context.ledger, chosen)
    if json:
        documents = [stage_document(past, chosen, wanted) for past in stages]
        as_run = {"document": chosen.document, "yaml": recipe_yaml(wanted)}
        print_json(run_document(line) | {"as_run": as_run, "stages": documents})
        return
    _print_lines(context.console, run_lines(line))
    for past in stages:
        _print_lines(context.console, stage_lines(past, chosen, wanted))
    _print_lines(context.console, environment_lines(stages, chosen))
    context.console.print("Recipe, as it ran:")
    plain_console().print(recipe_yaml(wanted), end="", soft_wrap=True)


def compare(
    run_a: EitherRun,
    run_b: EitherRun,
    *,
    samples: Annotated[
        int, Parameter(help="Show so many changed problems each way.", validator=Number(gte=0))
    ] = 0,
    stage: Annotated[
        str | None,
        Parameter(help="The model stage whose problems are shown. Default: the last that changed."),
    ] = None,
    json: Json = False,
) -> None:
    """Compare two runs: recipes, nodes, and their models on the same problems.

    The difference in accuracy is paired by problem: a problem counts once, with the share of its completions
    that are right. Behind it stand its 95 % interval and p. Nothing is paired where the problems differ.

    For example:

        burnish compare 20261121-0634 last
        burnish compare tiny mine --samples 3
        burnish compare 20261121-0634 last --samples 5 --stage dpo
        burnish compare 20261121-0634 last --json
    """
    from flows.comparison_view import changed_lines, comparison_document, comparison_lines
    from flows.run_comparison import compare_runs

    context = open_context()
    before, after = find_run(context.ledger, run_a), find_run(context.ledger, run_b)
    found = compare_runs(context.home, context.ledger, before, after)
    pairings = {model.stage: model.pairing for model in found.models if model.pairing}
    if stage is not None and stage not in pairings:
        raise NotFoundError(
            f"There are no changed completions of {stage!r}.",
            f"one of {', '.join(pairings)}"
            if pairings
            else "a model that both runs evaluated, with other completions",
            f"{nearest(stage, list(pairings))}`burnish compare {run_a} {run_b}` says what each model came to.",
        )
    shown = stage or next(reversed(pairings), None)
    if json:
        print_json(comparison_document(found, shown, samples))
        return
    console = plain_console()
    _print_lines(console, comparison_lines(found))
    if samples and shown is not None:
        console.print(f"Completions of {shown} that changed")
        _print_lines(console, changed_lines(pairings[shown], samples))


def _print_lines(console: Console, lines: Iterable[tuple[int, str]]) -> None:
    """What is broken to a further line keeps its indent."""
    for indent, text in lines:
        console.print(Padding(text, (0, 0, 0, indent), expand=False), highlight=False)
