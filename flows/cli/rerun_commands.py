"""`burnish rerun` and `burnish accept`."""

from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from data_contracts.errors import NotFoundError, RecipeError
from flows.accepting import accept_code
from flows.cli.context import Context, open_context, plain_console, print_json
from flows.cli.run_commands import Json, Overrides, Strict, Terminal, print_summary
from flows.plan import Wishes
from flows.recipe import Recipe, nearest
from flows.recipe_files import find_recipe, override_recipe, parse_overrides, read_document
from flows.rerun import find_run_with, from_model, has_stage, plan_only, seed_sweep
from flows.running import run_here
from flows.sweep_view import sweep_document, sweep_lines, sweep_sentence, sweep_table

Stage = Annotated[str, Parameter(help="A stage's name, such as grpo.")]
RecipeOption = Annotated[
    str | None, Parameter(help="The recipe to take it from. Default: the newest run that has this stage.")
]
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
    json: Json = False,
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
    context = open_context()
    wanted = _recipe(context, stage, recipe, run_, from_model_, set_)
    branches: list[str] = []
    if seed_sweep_ is not None:
        if only:
            raise RecipeError(
                "--only and --seed-sweep do not go together.", "one of them", "Leave --only out."
            )
        wanted, branches = seed_sweep(wanted, stage, seed_sweep_)
        wishes = Wishes(strict=strict)
    elif only:
        wishes = plan_only(wanted, context.home, context.ledger, stage, strict=strict)
    else:
        wishes = Wishes(frozenset({stage}), None, strict)
    summary = run_here(context.home, wanted, wishes, Terminal(context, quiet=json))
    lines = sweep_lines(summary, branches)
    if json:
        document: dict[str, Any] = summary.model_dump(mode="json")
        print_json(document | ({"sweep": sweep_document(lines)} if branches else {}))
        return
    print_summary(context, summary)
    if branches:
        context.console.print(sweep_table(lines))
        context.console.print(sweep_sentence(lines), highlight=False)


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
        plain_console(stderr=True).print(f"{origin} ({found.recipe}).")
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
