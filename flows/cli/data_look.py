"""`burnish data list`, `log`, `show`, `card` and `diff`."""

import json as json_library
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_contracts.errors import RecipeError
from flows.cli.context import plain_console, print_json
from flows.cli.data_context import DataContext, Reference, open_data
from flows.cli.run_commands import Json

if TYPE_CHECKING:
    from infra.warehouse.catalog import DatasetVersion

_SHOWN_CHARACTERS = 400


def list_versions(*, json: Json = False) -> None:
    """List the datasets of this home with their newest versions.

    For example:

        burnish data list
        burnish data list --json
    """
    context = open_data()
    versions = context.warehouse.versions()
    tags = context.warehouse.tags()
    if json:
        print_json([_document(version, tags) for version in versions])
        return
    newest = {version.name: version for version in versions}
    table = Table(title="Datasets", title_justify="left")
    for heading in ("newest", "kind", "rows", "tags", "made by", "made"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "rows" else "left")
    for version in newest.values():
        table.add_row(*_cells(version, tags))
    plain_console().print(table if newest else "No dataset yet: burnish data import NAME FILE makes one.")


def log(name: Annotated[str, Parameter(help="The dataset.")], *, json: Json = False) -> None:
    """List the versions of one dataset, newest first.

    For example:

        burnish data log chats
    """
    context = open_data()
    context.warehouse.get(name)
    versions = context.warehouse.versions(name)[::-1]
    tags = context.warehouse.tags()
    if json:
        print_json([_document(version, tags) for version in versions])
        return
    table = Table(title=f"Versions of {name}", title_justify="left")
    for heading in ("version", "kind", "rows", "tags", "made by", "made", "fingerprint"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "rows" else "left")
    for version in versions:
        table.add_row(*_cells(version, tags), version.fingerprint)
    plain_console().print(table)


def show(
    version: Reference,
    *,
    rows: Annotated[int, Parameter(help="How many rows.", validator=Number(gte=1))] = 3,
    at: Annotated[int, Parameter(help="The first row shown, from 0.", validator=Number(gte=0))] = 0,
    json: Json = False,
) -> None:
    """Show some rows of a version as they are, with their hashes.

    For example:

        burnish data show chats
        burnish data show chats@2 --at 500 --rows 10 --json
    """
    context = open_data()
    found = context.warehouse.get(version)
    if at >= found.num_rows:
        raise RecipeError(
            f"--at is {at}, and {found} has {found.num_rows:,} rows.", f"0 to {found.num_rows - 1}", ""
        )
    from flows.lineage.withdrawal import withdrawn_masks

    (mask,) = withdrawn_masks(context.ledger, context.warehouse, [str(found)])
    withdrawn = int(mask.sum())
    shown = _rows(context, found, list(range(at, min(at + rows, found.num_rows))))
    if json:
        print_json({"version": str(found), "withdrawn": withdrawn, "rows": shown})
        return
    console = plain_console()
    heading = Text.assemble((str(found), "bold"), f": {found.num_rows:,} {found.kind} rows")
    heading.append(f", {withdrawn:,} of them withdrawn" if withdrawn else "", "yellow")
    console.print(heading, soft_wrap=True)
    for name, kind in json_library.loads(found.columns):
        console.print(f"  {name}: {kind}")
    for row in shown:
        _print_row(console, row, "withdrawn" if mask[row["row"]] else "")


def card(version: Reference, *, json: Json = False) -> None:
    """Show a version's data card: counts, lengths, turns, sources, duplicates, licence, what was refused.

    For example:

        burnish data card chats
        burnish data card chats@2 --json
    """
    context = open_data()
    found = context.warehouse.get(version)
    with Console(stderr=True).status(f"Reading {found}…"):
        from flows.card_view import card_view
        from flows.data.cards import card_of
        from flows.lineage.withdrawal import num_withdrawn

        made = card_of(context.warehouse, found)
        withdrawn = num_withdrawn(context.ledger, context.warehouse, found)
    if json:
        print_json({**made.model_dump(mode="json"), "withdrawn": withdrawn})
    else:
        plain_console().print(card_view(str(found), made, withdrawn))


def diff(
    old: Reference,
    new: Reference,
    *,
    key: Annotated[str | None, Parameter(help="Rows of one value of this column are a change.")] = None,
    rows: Annotated[int, Parameter(help="Samples of each kind.", validator=Number(gte=0))] = 3,
    json: Json = False,
) -> None:
    """Show what differs between two versions: rows added, removed and changed in their place.

    For example:

        burnish data diff chats@1 chats@2
        burnish data diff maths@1 maths --key problem_id --json
    """
    context = open_data()
    first, second = context.warehouse.get(old), context.warehouse.get(new)
    with Console(stderr=True).status("Comparing…"):
        from infra.warehouse.comparing import compare

        found = compare(context.warehouse.reader, first, second, key)
        samples = {
            "added": _rows(context, second, found.added[:rows].tolist()),
            "removed": _rows(context, first, found.removed[:rows].tolist()),
            "changed_from": _rows(context, first, found.changed[:rows, 0].tolist()),
            "changed_to": _rows(context, second, found.changed[:rows, 1].tolist()),
        }
    counts = {"added": len(found.added), "removed": len(found.removed), "changed": len(found.changed)}
    if json:
        same = {"same": found.num_same, "same_order": found.is_same_order}
        print_json({"old": str(first), "new": str(second), **counts, **same, "samples": samples})
        return
    console = plain_console()
    listed = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    order = "" if found.is_same_order else ", in another order"
    console.print(f"{first} → {second}: {listed}; {found.num_same:,} the same{order}", soft_wrap=True)
    for title, marks in (("added", "+"), ("removed", "-")):
        for row in samples[title]:
            _print_row(console, row, marks)
    for before, after in zip(samples["changed_from"], samples["changed_to"], strict=True):
        changed = [name for name in after if name != "hash" and before.get(name) != after[name]]
        places = Text.assemble(("~", "yellow"), f" row {before['row']} → {after['row']}")
        console.print(places, soft_wrap=True)
        for name in changed:
            console.print(f"    {name}: {_shown(before.get(name))}\n      → {_shown(after[name])}")


def _rows(context: DataContext, version: "DatasetVersion", numbers: list[int]) -> list[dict[str, Any]]:
    import numpy as np

    from infra.warehouse.peeking import peek

    if not numbers:
        return []
    chosen = np.array(numbers, np.int64)
    hashes = context.warehouse.reader.hashes(version)[chosen]
    table = peek(context.home, context.warehouse.reader, version, chosen)
    return [
        {"row": number, "hash": digest.tobytes().hex(), **row}
        for number, digest, row in zip(numbers, hashes, table.to_pylist(), strict=True)
    ]


def _print_row(console: Console, row: dict[str, Any], mark: str = "") -> None:
    place = f"{mark} row {row['row']} ".lstrip()
    console.print(Text.assemble(place, (row["hash"], "dim")), soft_wrap=True)
    for name, value in row.items():
        if name not in ("row", "hash"):
            console.print(f"    {name}: {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict) and "role" in value[0]:
        return "".join(f"\n      {turn['role']}: {_cut(str(turn['content']))}" for turn in value)
    return _cut(
        value if isinstance(value, str) else json_library.dumps(value, ensure_ascii=False, default=str)
    )


def _cut(text: str) -> str:
    return (
        text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}… ({len(text):,} characters)"
    )


def _cells(version: "DatasetVersion", tags: dict[tuple[str, int], list[str]]) -> list[str]:
    made = datetime.fromtimestamp(version.created_at).strftime("%Y-%m-%d %H:%M")
    named = ", ".join(tags.get((version.name, version.version), []))
    return [str(version), version.kind, f"{version.num_rows:,}", named, made_by(version), made]


def made_by(version: "DatasetVersion") -> str:
    """The command that made a version, and from what."""
    told = version.origin
    if told.get("command") == "import":
        return f"import of {told['source']}"
    if "parents" in told:
        return f"{told['command']} of {', '.join(told['parents'])}"
    return told.get("command", "a run")


def _document(version: "DatasetVersion", tags: dict[tuple[str, int], list[str]]) -> dict[str, Any]:
    return {
        "version": str(version),
        "kind": version.kind,
        "rows": version.num_rows,
        "fingerprint": version.fingerprint,
        "tags": tags.get((version.name, version.version), []),
        "created_at": version.created_at,
        "origin": version.origin,
    }
