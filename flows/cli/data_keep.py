"""`burnish data tag`, `export`, `verify` and `gc`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from flows.cli.context import plain_console, print_json
from flows.cli.data_context import Reference, open_data, rows_line
from flows.cli.run_commands import Json


def tag(
    version: Reference, name: Annotated[str, Parameter(help="The tag; it moves if it is there.")]
) -> None:
    """Give a version a name that keeps it: `NAME@TAG`.

    For example:

        burnish data tag chats@3 golden
        burnish data card chats@golden
    """
    context = open_data()
    before = context.warehouse.tags()
    found = context.warehouse.tag(version, name)
    moved = [
        n for (of, n), tags in before.items() if of == found.name and name in tags and n != found.version
    ]
    was = "".join(f", which was {found.name}@{number} until now" for number in moved)
    plain_console().print(f"{found} is {found.name}@{name}{was}.", soft_wrap=True)


def export(
    version: Reference,
    target: Annotated[
        Path, Parameter(help="A .jsonl, .jsonl.gz, .parquet or .arrow file; else a folder of `datasets`.")
    ],
) -> None:
    """Write a version out of the home.

    For example:

        burnish data export chats@2 chats.jsonl
        burnish data export chats@golden chats.parquet
        burnish data export chats chats_dataset
    """
    context = open_data()
    found = context.warehouse.get(version)
    from flows.data.exports import export_version
    from flows.lineage.withdrawal import num_withdrawn

    with rows_line(str(found)) as line:
        export_version(
            context.warehouse, found, target, lambda done, total: line.show(done, total, "rows written")
        )
    plain_console().print(f"Wrote {found.num_rows:,} rows of {found} to {target}.", soft_wrap=True)
    if withdrawn := num_withdrawn(context.ledger, context.warehouse, found):
        plain_console(stderr=True).print(
            f"{withdrawn:,} of them are withdrawn: a version never changes. "
            f"`burnish data mix NEW {found}` makes one without them.",
            soft_wrap=True,
        )


def verify(
    name: Annotated[str | None, Parameter(help="Only this dataset's versions.")] = None,
    *,
    rows: Annotated[bool, Parameter(negative=(), help="Hash every row again, too.")] = False,
    json: Json = False,
) -> int:
    """Check every file against what was published; exit 1 when something is damaged, and say what is affected.

    For example:

        burnish data verify
        burnish data verify chats --rows
    """
    context = open_data()
    versions = context.warehouse.versions(name)
    if name is not None and not versions:
        context.warehouse.get(name)
    from flows.data.keeping import damaged_quarantines, models_that_read
    from infra.warehouse.integrity import find_damage

    with rows_line("Checking") as line:
        damage = find_damage(
            context.home,
            context.warehouse.catalog,
            versions,
            rows,
            lambda done, total: line.show(done, total, "checks"),
        )
    context.ledger.require_sound()
    damage += damaged_quarantines(context.warehouse, name)
    affected = [models_that_read(context.ledger, found.versions) for found in damage]
    if json:
        print_json(
            {
                "checked": len(versions),
                "damage": [
                    {"found": d.found, "versions": [str(v) for v in d.versions], "models": models}
                    for d, models in zip(damage, affected, strict=True)
                ],
            }
        )
        return 1 if damage else 0
    console = plain_console()
    if not damage:
        console.print(f"{len(versions)} versions are as they were published.", soft_wrap=True)
        return 0
    table = Table(title="Damage", title_justify="left")
    for heading in ("found", "versions affected", "models trained on them"):
        table.add_column(heading, overflow="fold")
    for found, models in zip(damage, affected, strict=True):
        table.add_row(found.found, ", ".join(map(str, found.versions)), ", ".join(models))
    console.print(table)
    console.print("Restore the files from a backup, or import their sources again.")
    return 1


def gc(
    *,
    keep: Annotated[
        int | None,
        Parameter(help="Also remove versions older than the newest N of each name.", validator=Number(gte=1)),
    ] = None,
    apply: Annotated[bool, Parameter(negative=(), help="Remove; without it, only show.")] = False,
    json: Json = False,
) -> None:
    """Free the space of files that nothing needs. What a tag, a run or a model needs always stays.

    For example:

        burnish data gc
        burnish data gc --keep 3 --apply
    """
    context = open_data()
    from flows.data.keeping import unneeded_versions
    from infra.warehouse.collecting import collect, find_garbage

    unneeded = unneeded_versions(context.warehouse, context.ledger, keep)
    act = collect if apply else find_garbage
    found = act(context.home, context.warehouse.catalog, unneeded)
    if json:
        print_json(
            {
                "applied": apply,
                "versions": [str(version) for version in found.versions],
                "files": [str(path) for path in found.files],
                "bytes": found.num_bytes,
            }
        )
        return
    console = plain_console()
    done = "Removed" if apply else "Would remove"
    for version in found.versions:
        console.print(f"  {version}: {version.num_rows:,} rows", soft_wrap=True)
    console.print(
        f"{done} {len(found.versions)} versions and {len(found.files)} files, {found.num_bytes / 1e6:,.1f} MB."
        + ("" if apply or not (found.files or found.versions) else " Add --apply to do it."),
        soft_wrap=True,
    )
