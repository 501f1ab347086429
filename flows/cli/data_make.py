"""`burnish data mix` and `split`."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from data_contracts.errors import RecipeError
from flows.cli.command_line import real_number, whole_number
from flows.cli.context import plain_console, print_json
from flows.cli.data_context import NewName, Reference, open_data, print_made, require_new_name
from flows.cli.run_commands import Json

NumberT = TypeVar("NumberT", int, float)


def mix(
    name: NewName,
    *sources: Annotated[str, Parameter(help="NAME@VERSION, or NAME@VERSION=WEIGHT.")],
    total: Annotated[
        int | None, Parameter(help="Rows of the mix; weights are then shares of it.", validator=Number(gte=1))
    ] = None,
    cap: Annotated[
        tuple[str, ...], Parameter(negative=(), help="NAME=ROWS: at most so many rows; repeatable.")
    ] = (),
    upsample: Annotated[bool, Parameter(negative=(), help="Repeat rows where a share needs it.")] = False,
    seed: int = 0,
    source_seed: Annotated[
        tuple[str, ...], Parameter(negative=(), help="NAME=SEED: draws this source by its own seed.")
    ] = (),
    json: Json = False,
) -> None:
    """Mix versions by weight. The same inputs and seed give the same fingerprint on any machine.

    A weight is a multiple of the source's rows (0.5: half of them, 2.5: everything twice and half again), or with
    --total a share of it. The mix is a version that records its recipe; no row is copied.

    For example:

        burnish data mix train chats@1 maths@2=0.5
        burnish data mix train chats=3 maths=1 --total 100000 --cap maths=20000
        burnish data mix train maths=2.5 --seed 7
    """
    require_new_name(name)
    from data_contracts.mixtures import Mixture, MixtureSource
    from flows.data.making import Maker

    context = open_data()
    weights = _pairs(sources, "NAME@VERSION=WEIGHT", real_number, default="1")
    caps, seeds = _pairs(cap, "NAME=ROWS", whole_number), _pairs(source_seed, "NAME=SEED", whole_number)
    for given in (*caps, *seeds):
        if given not in weights:
            raise RecipeError(
                f"{given} is none of the sources.",
                f"one of {', '.join(weights)}",
                "Name it as among the sources.",
            )
    mixture = Mixture(
        sources=tuple(
            MixtureSource(
                dataset=str(context.warehouse.get(reference)),
                weight=weight,
                cap=caps.get(reference),
                seed=seeds.get(reference),
            )
            for reference, weight in weights.items()
        ),
        total=total,
        upsample=upsample,
        seed=seed,
    )
    made, counts = Maker(context.warehouse, context.ledger).mix(name, mixture)
    if json:
        taken = {s.dataset: count for s, count in zip(mixture.sources, counts, strict=True)}
        version = {"version": str(made.version), "is_new": made.is_new}
        print_json({**version, "fingerprint": made.version.fingerprint, "rows": taken})
        return
    table = Table()
    for heading in ("source", "weight", "rows taken", "share"):
        table.add_column(heading, justify="left" if heading == "source" else "right")
    for source, count in zip(mixture.sources, counts, strict=True):
        share = f"{count / made.version.num_rows:.1%}"
        table.add_row(source.dataset, f"{source.weight:g}", f"{count:,}", share)
    plain_console().print(table)
    print_made(context.warehouse, made, f", fingerprint {made.version.fingerprint}")


def split(
    version: Reference,
    train: Annotated[str, Parameter(help="The dataset of the rows to train on.")],
    held_out: Annotated[str, Parameter(help="The dataset of the rows held out.")],
    *,
    fraction: Annotated[float | None, Parameter(help="Share of the rows to hold out.")] = None,
    count: Annotated[int | None, Parameter(help="Rows to hold out.")] = None,
    group_by: Annotated[
        str,
        Parameter(help="Rows with one value of this column stay together; `prompt`: those of one prompt."),
    ] = "prompt",
    stratify_by: Annotated[
        str | None, Parameter(help="Every value of this column gives its share (`source`, `level`).")
    ] = None,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Hold out a part of a version. A problem is never on both sides.

    For example:

        burnish data split maths maths_train maths_held_out --fraction 0.1
        burnish data split chats chats_train chats_test --count 500 --stratify-by source
    """
    for name in (train, held_out):
        require_new_name(name)
    if len({train, held_out, version.partition("@")[0]}) < 3:
        raise RecipeError(
            f"The split of {version} into {train} and {held_out} would mix up their versions.",
            "two new names, neither of them the source's",
            "Name the sides otherwise.",
        )
    from data_contracts.mixtures import HeldOutSplit
    from flows.data.making import Maker

    context = open_data()
    config = HeldOutSplit(
        group_by=group_by, stratify_by=stratify_by, fraction=fraction, count=count, seed=seed
    )
    sides = Maker(context.warehouse, context.ledger).split(version, (train, held_out), config)
    if json:
        print_json({str(made.version): made.version.num_rows for made in sides})
        return
    for made in sides:
        print_made(context.warehouse, made)


def _pairs(
    texts: tuple[str, ...], form: str, read: Callable[[str], NumberT], default: str = ""
) -> dict[str, NumberT]:
    """`NAME=NUMBER` arguments. Raises RecipeError, for a name that comes twice too."""
    found: dict[str, NumberT] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if name in found:
            raise RecipeError(f"{name} is named more than once.", f"one {form} of each", "Name it once.")
        try:
            found[name] = read(number if equals else default)
        except ValueError as error:
            number = "whole number" if read is whole_number else "number"
            raise RecipeError(f"{text!r} is no {form}.", f"a {number} after the =", "Correct it.") from error
    return found
