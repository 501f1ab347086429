"""`burnish data mix`, `split`, `dedupe` and `decontaminate`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table

from data_contracts.errors import RecipeError
from flows.cli.context import print_json
from flows.cli.data_context import DataContext, Reference, open_data, require_new_name, rows_line
from flows.cli.run_commands import Json

NewName = Annotated[str, Parameter(help="The dataset to make; its next version.")]


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
    weights = _pairs(sources, "NAME@VERSION=WEIGHT", default="1")
    caps, seeds = _pairs(cap, "NAME=ROWS"), _pairs(source_seed, "NAME=SEED")
    for given in (*caps, *seeds):
        if given not in weights:
            raise RecipeError(f"{given} is none of the sources.", f"one of {', '.join(weights)}", "")
    mixture = Mixture(
        sources=tuple(
            MixtureSource(
                dataset=str(context.warehouse.get(reference)),
                weight=weight,
                cap=int(caps[reference]) if reference in caps else None,
                seed=int(seeds[reference]) if reference in seeds else None,
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
        print_json({"version": str(made.version), "fingerprint": made.version.fingerprint, "rows": taken})
        return
    table = Table(title=f"{made.version}: {made.version.num_rows:,} rows", title_justify="left")
    for heading in ("source", "weight", "rows taken", "share"):
        table.add_column(heading, justify="left" if heading == "source" else "right")
    for source, count in zip(mixture.sources, counts, strict=True):
        share = f"{count / made.version.num_rows:.1%}"
        table.add_row(source.dataset, f"{source.weight:g}", f"{count:,}", share)
    context.console.print(table)
    context.console.print(f"Fingerprint {made.version.fingerprint}", highlight=False)


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
        context.console.print(f"[bold]{made.version}[/]: {made.version.num_rows:,} rows", highlight=False)


def dedupe(
    name: NewName,
    *sources: Annotated[
        str, Parameter(help="Versions, in order of priority: the first copy of a row stays.")
    ],
    against: Annotated[
        tuple[str, ...],
        Parameter(negative=(), help="A version whose rows come first, and stay out of the result."),
    ] = (),
    method: Annotated[
        Literal["exact", "near"], Parameter(help="near: most word 5-grams in common, too.")
    ] = "near",
    threshold: Annotated[float, Parameter(help="Least similarity (Jaccard) for near.")] = 0.8,
    clusters: Annotated[int, Parameter(help="Clusters to show.", validator=Number(gte=0))] = 5,
    json: Json = False,
) -> None:
    """Remove repeated rows within and across versions; the first by order of the sources stays.

    For example:

        burnish data dedupe clean chats
        burnish data dedupe clean golden scraped --threshold 0.9
        burnish data dedupe new_only scraped --against golden --method exact
    """
    require_new_name(name)
    from flows.data.making import Maker

    context = open_data()
    with rows_line("Comparing") as line:
        made, found = Maker(context.warehouse, context.ledger).dedupe(
            name, sources, against, method, threshold, lambda done, total: line.show(done, total, "steps")
        )
    kinds = found.removed["kind"].to_pylist()
    counts = {kind: kinds.count(kind) for kind in ("exact", "near")}
    listed = found.clusters.slice(0, clusters).to_pylist()
    if json:
        print_json({"version": str(made.version), "removed": counts, "clusters": listed})
        return
    _print_version(
        context, made.version, f"{counts['exact']:,} exact and {counts['near']:,} near repetitions removed"
    )
    if listed:
        table = Table(title=f"Largest of {found.clusters.num_rows:,} clusters", title_justify="left")
        for heading in ("kept row", "rows", "of them exact"):
            table.add_column(heading, justify="left" if heading == "kept row" else "right")
        for cluster in listed:
            table.add_row(
                f"{cluster['source']} row {cluster['row']}", str(cluster["size"]), str(cluster["exact"])
            )
        context.console.print(table)


def decontaminate(
    name: NewName,
    source: Annotated[str, Parameter(help="The version to clean.")],
    *,
    against: Annotated[
        tuple[str, ...], Parameter(negative=(), help="An evaluation set no row may hold; repeatable.")
    ],
    method: Annotated[
        tuple[Literal["exact", "8-gram", "13-gram", "near", "template"], ...],
        Parameter(negative=(), help="Kinds that count: exact, 8-gram and near unless named."),
    ] = (),
    other_numbers: Annotated[
        bool, Parameter(negative=(), help="Count the same text with other numbers, too.")
    ] = False,
    allow: Annotated[
        Path | None, Parameter(help="A JSON file of what was judged harmless: problems, pairs, texts.")
    ] = None,
    fail_above: Annotated[
        float | None, Parameter(help="Exit 1, and make nothing, above this share of rows.")
    ] = None,
    report: Annotated[Path | None, Parameter(help="Write all findings to this JSON file.")] = None,
    show: Annotated[int, Parameter(help="Findings to show.", validator=Number(gte=0))] = 5,
    json: Json = False,
) -> int:
    """Remove rows that hold problems of evaluation sets, and show the matching words side by side.

    For example:

        burnish data decontaminate clean maths --against gsm8k_test --against math500
        burnish data decontaminate clean chats --against gsm8k_test --method 13-gram --fail-above 0.001
        burnish data decontaminate clean maths --against math500 --allow harmless.json --report findings.json
    """
    require_new_name(name)
    from flows.cli.contamination_view import findings_view
    from flows.data.contamination import AllowList, findings_document, settings_of, write_report
    from flows.data.making import Maker

    context = open_data()
    maker = Maker(context.warehouse, context.ledger)
    settings = settings_of(frozenset(method), other_numbers, AllowList.read(allow))
    with rows_line("Searching") as line:
        found = maker.find_contamination(
            source, against, settings, lambda done, total: line.show(done, total, "rows")
        )
    document = findings_document(found, settings)
    if report is not None:
        write_report(report, document)
    share = len(found.contaminated_rows) / found.version.num_rows
    fails = fail_above is not None and share > fail_above
    made = None if fails else maker.without_contamination(name, found, document["settings"])
    if json:
        print_json({"version": str(made.version) if made else None, **document})
        return 1 if fails else 0
    context.console.print(findings_view(document, show))
    if made is None:
        Console(stderr=True).print(
            f"{share:.3%} of the rows are contaminated, more than {fail_above:.3%}: nothing was made.",
            highlight=False,
        )
        return 1
    _print_version(context, made.version, f"{len(found.contaminated_rows):,} contaminated rows removed")
    return 0


def _print_version(context: DataContext, version: object, what: str) -> None:
    from infra.warehouse.catalog import DatasetVersion

    assert isinstance(version, DatasetVersion)
    context.console.print(f"[bold]{version}[/]: {version.num_rows:,} rows, {what}", highlight=False)


def _pairs(texts: tuple[str, ...], form: str, default: str | None = None) -> dict[str, float]:
    """`NAME=NUMBER` arguments. Raises RecipeError."""
    found: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        try:
            found[name] = float(number if equals else default or "")
        except ValueError as error:
            raise RecipeError(f"{text!r} is no {form}.", form, "") from error
    return found
