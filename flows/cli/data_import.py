"""`burnish data import` and `burnish data quarantine`."""

import json as json_library
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from data_contracts.errors import RecipeError
from data_contracts.rows import RowKind
from flows.cli.context import plain_text, print_json
from flows.cli.data_context import open_data, require_new_name, rows_line
from flows.cli.import_view import print_mapping, print_reasons, show_report
from flows.cli.run_commands import Json
from flows.cli.verifier_options import Added, Sandbox, read_added

_SHOWN = 20


def import_rows(
    name: Annotated[str, Parameter(help="The dataset; its next version is made.")],
    source: Annotated[
        str,
        Parameter(help="A file, glob, folder, `hub:OWNER/NAME`, or SQL over files (`select … from '…'`)."),
    ],
    *,
    kind: Annotated[
        RowKind | None, Parameter(help="sft, pairs, problems or raw; recognised from the columns by default.")
    ] = None,
    map: Annotated[
        tuple[str, ...],
        Parameter(negative=(), help="COLUMN=EXPRESSION: DuckDB SQL over the file's columns; repeatable."),
    ] = (),
    verifier: Annotated[str | None, Parameter(help="Of problems whose rows name none.")] = None,
    arguments: Annotated[str, Parameter(help="That verifier's arguments, as a JSON object.")] = "{}",
    licence: Annotated[str, Parameter(help="Kept in the data card.")] = "",
    origin: Annotated[str, Parameter(help="Where the data comes from; kept in the data card.")] = "",
    model: Annotated[Path | None, Parameter(help="A model directory, whose tokenizer counts tokens.")] = None,
    max_tokens: Annotated[int | None, Parameter(help="Refuse longer rows.", validator=Number(gte=1))] = None,
    add: Added = (),
    sandbox: Sandbox = "strong",
    prove: Annotated[bool, Parameter(help="Ask each verifier about each ground truth.")] = True,
    dry_run: Annotated[bool, Parameter(negative=(), help="Only show the mapping.")] = False,
    json: Json = False,
) -> int:
    """Take rows in as the next version of a dataset; what breaks its contract goes to the quarantine.

    JSONL, JSON, Parquet, CSV and Arrow, also as .gz or .zst; chats, preference pairs and problems in the layouts
    that public sets have. Every row is accepted or quarantined, with its file, line and reason.

    For example:

        burnish data import chats rows.jsonl
        burnish data import maths "data/*.parquet" --licence MIT --origin https://example.org/maths
        burnish data import mine rows.csv --map prompt=question --map "ground_truth=trim(answer)"
        burnish data import good "select * from 'rows.parquet' where score > 3"
    """
    require_new_name(name)
    _require_used(verifier, arguments, model, max_tokens)
    from flows.data.imports import ImportOptions, Target, choose_mapping, import_dataset, open_source

    options = ImportOptions(
        kind=kind,
        maps=_read_maps(map),
        verifier=verifier,
        arguments=arguments,
        licence=licence,
        origin=origin,
        model=model,
        max_tokens=max_tokens,
        check_ground_truth=prove,
        added=read_added(add),
        sandbox=sandbox,
    )
    found = open_source(source, Path.cwd())
    mapping = choose_mapping(found, options)
    context = open_data()
    if not json:
        print_mapping(context.console, mapping)
    if dry_run:
        if json:
            print_json({"shape": mapping.shape, "kind": mapping.kind, "mapping": mapping.columns})
        return 0
    with rows_line(name) as line:
        report = import_dataset(
            Target(context.warehouse, context.ledger, name),
            found,
            mapping,
            options,
            lambda counts: line.show(counts.read, text=f"rows, {counts.quarantined} quarantined"),
        )
    return show_report(context, name, report, json)


def quarantine(
    name: Annotated[str, Parameter(help="The dataset.")],
    *,
    fix: Annotated[bool, Parameter(negative=(), help="Try the rows again, and add those that pass.")] = False,
    source: Annotated[
        Path | None, Parameter(help="With --fix: the rows as you corrected them (from --export).")
    ] = None,
    map: Annotated[
        tuple[str, ...],
        Parameter(negative=(), help="With --fix: COLUMN=EXPRESSION over the rows' own fields."),
    ] = (),
    export: Annotated[
        Path | None, Parameter(help="Write the rows with their reasons to a JSONL file.")
    ] = None,
    limit: Annotated[int, Parameter(help="Rows to show.", validator=Number(gte=1))] = _SHOWN,
    json: Json = False,
) -> int:
    """See the rows that broke their contract, or take them in after a correction.

    For example:

        burnish data quarantine chats
        burnish data quarantine chats --fix --map "messages=turns"
        burnish data quarantine chats --export bad.jsonl
        burnish data quarantine chats --fix --source bad.jsonl
    """
    if not fix and (map or source is not None):
        raise RecipeError(
            f"{'--map' if map else '--source'} was given without --fix, so it would change nothing.",
            "--fix, which tries the rows again",
            f"Type: burnish data quarantine {name} --fix {'--map COLUMN=EXPRESSION' if map else f'--source {source}'}",
        )
    if fix and export is not None:
        raise RecipeError("--fix and --export were given together.", "one of them", "Export first, then fix.")
    from flows.data.fixing import fix_quarantine
    from flows.data.imports import Target
    from flows.data.quarantine import export_bad_rows, quarantined

    context = open_data()
    if export is not None:
        count = export_bad_rows(context.warehouse, name, export)
        context.console.print(f"Wrote {count} rows to {export}.", highlight=False, soft_wrap=True)
        return 0
    if fix:
        with rows_line(name) as line:
            report = fix_quarantine(
                Target(context.warehouse, context.ledger, name),
                _read_maps(map),
                source,
                lambda counts: line.show(counts.read, text=f"rows, {counts.accepted} pass"),
            )
        return show_report(context, name, report, json)
    rows, reasons = quarantined(context.warehouse, name, limit)
    if json:
        print_json(
            {
                "reasons": dict(reasons),
                "rows": [{"file": r.file, "line": r.line, "reason": r.reason, "row": r.row} for r in rows],
            }
        )
        return 0
    if not reasons:
        context.console.print(f"No row of {name} is in quarantine.", highlight=False, soft_wrap=True)
        return 0
    table = Table(title=f"{reasons.total():,} quarantined rows of {name}", title_justify="left")
    for heading in ("file", "line", "reason", "row"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "line" else "left")
    for row in rows:
        table.add_row(plain_text(row.file), str(row.line), plain_text(row.reason), plain_text(row.row[:200]))
    context.console.print(table)
    print_reasons(context.console, "All of them, by reason", reasons)
    return 0


def _require_used(verifier: str | None, arguments: str, model: Path | None, max_tokens: int | None) -> None:
    """An option that would be ignored is a misunderstanding."""
    if arguments != "{}" and verifier is None:
        raise RecipeError(
            "--arguments was given without --verifier.",
            "the verifier whose arguments they are",
            "Add --verifier NAME, or put the arguments into the rows.",
        )
    if (model is None) != (max_tokens is None):
        raise RecipeError(
            f"{'--max-tokens' if model is None else '--model'} was given alone.",
            "--model DIRECTORY, whose tokenizer counts, and --max-tokens N, above which a row is refused",
            "Give both or none.",
        )


def _read_maps(maps: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in maps:
        column, equals, expression = text.partition("=")
        if not equals or not column.strip() or not expression.strip():
            raise RecipeError(
                f"--map {json_library.dumps(text)} is no mapping.",
                "COLUMN=EXPRESSION, such as --map prompt=question",
                "",
            )
        found[column.strip()] = expression.strip()
    return found
