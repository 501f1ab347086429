"""`burnish data dedupe` and `decontaminate`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from data_contracts.errors import RecipeError
from flows.cli.context import plain_console, print_json
from flows.cli.data_context import NewName, open_data, print_made, require_new_name, rows_line
from flows.cli.run_commands import Json


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
        Literal["exact", "near"] | None,
        Parameter(help="near: most word 5-grams in common, too. By default exact for problems, else near."),
    ] = None,
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
    if not sources:
        raise RecipeError("No version to compare is named.", "one or more of NAME@VERSION", "")
    if not 0 < threshold <= 1:
        raise RecipeError(f"--threshold is {threshold}.", "a similarity above 0, at most 1", "")
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
        version = {"version": str(made.version), "is_new": made.is_new}
        print_json({**version, "removed": counts, "clusters": listed})
        return
    print_made(
        context.warehouse,
        made,
        f", {counts['exact']:,} exact and {counts['near']:,} near repetitions removed",
    )
    if listed:
        table = Table(title=f"Largest of {found.clusters.num_rows:,} clusters", title_justify="left")
        for heading in ("kept row", "rows", "of them exact"):
            table.add_column(heading, justify="left" if heading == "kept row" else "right")
        for cluster in listed:
            table.add_row(
                f"{cluster['source']} row {cluster['row']}", str(cluster["size"]), str(cluster["exact"])
            )
        plain_console().print(table)


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
    if fail_above is not None and not 0 <= fail_above <= 1:
        raise RecipeError(f"--fail-above is {fail_above}.", "a share of the rows, from 0 to 1", "")
    from flows.cli.contamination_view import findings_view
    from flows.data.contamination import (
        AllowList,
        findings_document,
        require_place,
        settings_of,
        write_report,
    )
    from flows.data.making import Maker

    if report is not None:
        require_place(report)
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
    plain_console().print(findings_view(document, show))
    if made is None:
        plain_console(stderr=True).print(
            f"{share:.3%} of the rows are contaminated, more than {fail_above:.3%}: nothing was made.",
            soft_wrap=True,
        )
        return 1
    print_made(context.warehouse, made, f", {len(found.contaminated_rows):,} contaminated rows removed")
    return 0
