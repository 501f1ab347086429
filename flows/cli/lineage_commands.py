"""`burnish lineage`, `burnish data impact` and `burnish data withdraw`: from models to rows, and back."""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from data_contracts.errors import RecipeError
from flows.cli.context import plain_console, plain_text, print_json
from flows.cli.data_context import DataContext, open_data
from flows.cli.run_commands import Json
from infra.environment import run_environment

if TYPE_CHECKING:
    from flows.lineage.impact import Impact, Selection
    from infra.registry import ModelRegistry

RowHash = Annotated[str | None, Parameter(help="A row, by its hash or the first 8 digits or more.")]
Source = Annotated[str | None, Parameter(help="All rows whose column `source` says this.")]
Reference = Annotated[str | None, Parameter(help="All rows of a dataset version: NAME (newest), NAME@3.")]


def lineage(
    model: Annotated[str, Parameter(help="`tiny.grpo` (newest), `tiny.grpo/3` or `tiny.grpo@champion`.")],
    *,
    rows: Annotated[
        int | None, Parameter(help="Show the way of this many rows.", validator=Number(gte=1))
    ] = None,
    row: RowHash = None,
    json: Json = False,
) -> None:
    """Show what a model was made from, back to the source rows.

    For example:

        burnish lineage tiny.grpo@champion
        burnish lineage tiny.grpo --rows 5
        burnish lineage tiny.grpo --row 3f2a91c07be4
    """
    context = open_data()
    from flows.lineage.models import find_model, model_lineage
    from flows.lineage.paths import row_paths, sample_rows
    from flows.lineage.view import lineage_tree, path_lines
    from infra.warehouse.locating import find_row

    made = find_model(context.ledger, model, lambda name: _aliases(context, name))
    if rows is None and row is None:
        found = model_lineage(context.home, context.ledger, context.warehouse, made)
        if json:
            print_json(found.model_dump(mode="json"))
        else:
            context.console.print(lineage_tree(found))
        return
    if row is not None:
        held = find_row(context.warehouse, row)[1]
    else:
        held = sample_rows(context.home, context.ledger, context.warehouse, made, rows or 1)
    paths = row_paths(context.home, context.ledger, context.warehouse, made, held)
    if json:
        print_json([path.model_dump(mode="json") for path in paths])
        return
    for path in paths:
        context.console.print(plain_text(path_lines(path)), soft_wrap=True)
    if not paths:
        context.console.print(f"{made.name}/{made.version} was not made from this row.", highlight=False)


def impact(
    dataset: Reference = None, *, row: RowHash = None, source: Source = None, json: Json = False
) -> None:
    """Show which versions hold some rows, and which models saw them.

    For example:

        burnish data impact worked@2
        burnish data impact --row 3f2a91c07be4
        burnish data impact --source forum
    """
    context = open_data()
    _, found = _assess(context, dataset, row, source)
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        _print_impact(context, found)


def withdraw(
    dataset: Reference = None,
    *,
    row: RowHash = None,
    source: Source = None,
    because: Annotated[str, Parameter(help="Why; kept in the ledger and on the models.")] = "",
    undo: Annotated[int | None, Parameter(help="End the withdrawal with this number.")] = None,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), help="Do not ask.")] = False,
) -> None:
    """Take rows out of every later run; models that saw them are flagged and cannot be promoted.

    For example:

        burnish data withdraw --row 3f2a91c07be4 --because "its author asked"
        burnish data withdraw --source forum --because "licence"
        burnish data withdraw --undo 1 --because "the licence was granted"
    """
    if not because.strip():
        raise RecipeError("No reason is given.", '--because "…"', "It is kept for whoever asks later.")
    context = open_data()
    os.environ.update(run_environment(context.home, os.environ, needs_hub=False))
    from flows.lineage import withdrawal

    if undo is not None:
        ended = withdrawal.undo(context.ledger, undo, because)
        _flag(context, ended.models)
        plain_console().print(f"Withdrawal {undo} ({ended.scope}) is ended.", soft_wrap=True)
        return
    selection, found = _assess(context, dataset, row, source)
    _print_impact(context, found)
    if not yes and not _is_confirmed(context):
        context.console.print("Nothing was withdrawn.")
        return
    earlier = withdrawal.in_force(context.ledger, selection.scope)
    number = withdrawal.withdraw(context.ledger, context.warehouse, selection, found, because)
    _flag(context, [seen.model for seen in found.models])
    state = "is in force"
    if earlier is not None:
        state += f" since {time.strftime('%Y-%m-%d', time.localtime(earlier.made))}, because {earlier.reason}"
        if earlier.reason != because:
            state += "; the reason given now is kept beside it"
    anew = " `burnish run` of each recipe above makes its models anew." if found.rerun else ""
    plain_console().print(f"Withdrawal {number} {state}.{anew}", soft_wrap=True)


def _assess(
    context: DataContext, dataset: str | None, row: str | None, source: str | None
) -> tuple["Selection", "Impact"]:
    from flows.lineage.impact import Wanted, assess, select

    selection = select(context.warehouse, Wanted(dataset, row, source))
    return selection, assess(context.home, context.ledger, context.warehouse, selection)


def _print_impact(context: DataContext, found: "Impact") -> None:
    from flows.lineage.view import impact_lines

    for line in impact_lines(found):
        context.console.print(plain_text(line), soft_wrap=True)


def _is_confirmed(context: DataContext) -> bool:
    if not context.console.is_terminal:
        raise RecipeError(
            "Nobody can be asked here: this is no terminal.",
            "a decision",
            "Look at what it touches above; then give --yes.",
        )
    return context.console.input("Withdraw these rows? [y/N] ", markup=False).strip().lower() in ("y", "yes")


def _flag(context: DataContext, models: "list[str] | tuple[str, ...]") -> None:
    if not models:
        return
    from flows.lineage.withdrawal import flag_models
    from flows.promoting.candidates import find_execution
    from flows.promoting.describing import describe

    registry = _registry(context)
    for lost in flag_models(context.ledger, registry, models):
        context.console.print(
            f"MLflow has lost {lost}: it is flagged in the ledger alone.", highlight=False, markup=False
        )
    versions = [model.rpartition("/") for model in models]
    made = [find_execution(context.ledger, name, int(number)) for name, _, number in versions]
    for untold in describe(context.home, context.ledger, made):
        plain_console().print(untold, soft_wrap=True)
    for version in registry.list_models():
        if f"{version.name}/{version.version}" in models and version.aliases:
            aliases = ", ".join(version.aliases)
            context.console.print(f"{version.name}/{version.version} is {aliases}.", highlight=False)


def _aliases(context: DataContext, name: str) -> Mapping[str, int]:
    os.environ.update(run_environment(context.home, os.environ, needs_hub=False))
    return _registry(context).aliases(name)


def _registry(context: DataContext) -> "ModelRegistry":
    with Console(stderr=True).status("Opening MLflow…"):
        from infra.registry import ModelRegistry

        return ModelRegistry(context.home.mlflow_uri, context.home.mlflow_artifacts_dir)
