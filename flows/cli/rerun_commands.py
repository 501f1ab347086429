"""`burnish rerun` and `burnish accept`."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from data_contracts.errors import NotFoundError, RecipeError
from flows.accepting import accept_code
from flows.causes import shown
from flows.cli.context import Context, open_context, plain_console
from flows.cli.run_commands import (
    Json,
    JsonLines,
    Overrides,
    Quiet,
    Strict,
    Terminal,
    print_run,
    print_summary,
)
from flows.plan import Wishes
from flows.recipe import Recipe, nearest
from flows.recipe_files import find_recipe, override_recipe, parse_overrides, read_document
from flows.rerun import changed_since, find_run_with, from_model, has_stage, plan_only, seed_sweep
from flows.running import run_here
from flows.summary import RunSummary
from infra.records import Run

Stage = Annotated[str, Parameter(help="A stage's name, such as grpo.")]
RecipeOption = Annotated[
    str | None, Parameter(help="The recipe to take it from. Default: the newest run that has this stage.")
]
_SHOWN_FIELDS = 4

RunOption = Annotated[str | None, Parameter(name="--run", help="The run whose recipe to take.")]


def rerun(
    stage: Stage,
    *,
    recipe: RecipeOption = None,
    run_: RunOption = None,
    only: Annotated[bool, Parameter(negative=(), help="Just this stage, not what depends on it.")] = False,
    from_model_: Annotated[
        str | None,
        Parameter(name="--from-model", help="Start it from a registered version: models:/tiny.dpo/3."),
    ] = None,
    set_: Overrides = None,
    seed_sweep_: Annotated[
        int | None,
        Parameter(
            name="--seed-sweep",
            validator=Number(gte=2, lte=100),
            help="Repeat it over so many seeds, as branches, and compare them.",
        ),
    ] = None,
    strict: Strict = False,
    quiet: Quiet = False,
    json: Json = False,
    json_lines: JsonLines = False,
) -> None:
    """Run one stage again, and what depends on it; everything above is reused.

    What depends on it is reused too where the stage turns out identical. The recipe that ran, changes included,
    is in the ledger: `burnish show` prints it.

    For example:

        burnish rerun grpo
        burnish rerun grpo --set grpo.learning_rate=5e-5
        burnish rerun dpo --recipe my.yaml --only
        burnish rerun grpo --from-model models:/tiny.dpo/3
        burnish rerun grpo --seed-sweep 5
    """
    terminal = Terminal(context := open_context(), quiet=quiet, json=json, json_lines=json_lines)
    wanted = _recipe(context, stage, recipe, run_, from_model_, set_)
    branches: list[str] = []
    if seed_sweep_ is not None:
        if only:
            raise RecipeError(
                "--only and --seed-sweep do not go together.", "one of them", "Leave --only out."
            )
        wanted, branches = seed_sweep(context.ledger, wanted, stage, seed_sweep_)
        wishes = Wishes(strict=strict)
    elif only:
        wishes = plan_only(wanted, context.home, context.ledger, stage, strict=strict)
    else:
        wishes = Wishes(frozenset({stage}), None, strict)
    summary = run_here(context.home, wanted, wishes, terminal)
    if branches:
        _print_sweep(context, summary, branches, terminal)
    elif not terminal.print_document(summary.model_dump(mode="json")):
        print_summary(context, summary)


def _print_sweep(context: Context, summary: RunSummary, branches: list[str], terminal: Terminal) -> None:
    from flows.sweep_view import sweep_advice, sweep_document, sweep_lines, sweep_sentence, sweep_table

    lines = sweep_lines(summary, branches)
    if terminal.print_document(summary.model_dump(mode="json") | {"sweep": sweep_document(lines)}):
        return
    print_run(context, summary)
    context.console.print(sweep_table(lines))
    for sentence in (sweep_sentence(lines), sweep_advice(lines)):
        context.console.print(sentence, highlight=False)


def _recipe(
    context: Context,
    stage: str,
    recipe: str | None,
    run: str | None,
    model: str | None,
    overrides: list[str] | None,
) -> Recipe:
    if recipe is not None and run is not None:
        raise RecipeError("--recipe and --run were both given.", "one of them")
    if recipe is not None:
        document, origin = read_document(find_recipe(recipe)), recipe
    else:
        found = find_run_with(context.ledger, stage, run)
        document, origin = found.document, f"The recipe of run {found.run_id}"
        plain_console(stderr=True).print(f"{origin} ({found.recipe}).{_changes_of(context, found, stage)}")
    wanted = override_recipe(document, parse_overrides(overrides or []), origin)
    if not has_stage(wanted.model_dump(), stage):
        raise NotFoundError(
            f"{origin} has no stage {stage!r}.",
            f"one of {', '.join(wanted.stages)}",
            nearest(stage, list(wanted.stages)),
        )
    if model is None:
        return wanted
    changed = from_model(context.ledger, wanted.model_dump(mode="json", exclude_unset=True), stage, model)
    return override_recipe(changed, {}, origin)


def _changes_of(context: Context, run: Run, stage: str) -> str:
    since = changed_since(context.ledger, run, stage)
    if since is None:
        return ""
    before, fields = since
    told = [f"{each.field} {shown(each.before)} → {shown(each.after)}" for each in fields]
    more = f" and {len(told) - _SHOWN_FIELDS} more" if len(told) > _SHOWN_FIELDS else ""
    return f" Other than in run {before.run_id}: {', '.join(told[:_SHOWN_FIELDS])}{more}."


def accept(
    stage: Stage,
    *,
    because: Annotated[str, Parameter(help="Why the change of code does not alter results.")],
    recipe: RecipeOption = None,
    withdraw: Annotated[
        bool, Parameter(negative=(), help="Take the acceptance back: the stage runs again.")
    ] = False,
) -> None:
    """Keep a stage's results although its code changed: say that the change does not alter them.

    Stages of the same kind share their code, so what is accepted for one is accepted for all of them. The
    decision, with your reason, is in the ledger; every plan says so.

    For example:

        burnish accept grpo --because "renamed a variable"
    """
    context = open_context()
    wanted = _recipe(context, stage, recipe, None, None, None)
    for sentence in accept_code(context.home, context.ledger, wanted, stage, because, withdraw=withdraw):
        context.console.print(sentence, highlight=False, markup=False)
