"""What an import tells: its mapping, what became of the rows, and why some went to the quarantine."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from data_contracts.errors import DataError
from flows.cli.context import plain_text, print_json
from flows.cli.data_context import DataContext

if TYPE_CHECKING:
    from flows.data.imports import ImportReport
    from infra.intake.shapes import Mapping

REASONS_SHOWN = 20


def show_report(context: DataContext, name: str, report: "ImportReport", json: bool) -> int:
    published, counts = report.published, report.counts
    if json:
        print_json(
            {
                "version": str(published.version) if published else None,
                "fingerprint": published.version.fingerprint if published else None,
                "is_new": bool(published and published.is_new),
                "read": counts.read,
                "accepted": counts.accepted,
                "quarantined": counts.quarantined,
                "reasons": dict(report.reasons),
                "warnings": dict(report.warnings),
                "notes": report.notes,
                "mapping": report.mapping.columns,
                "seconds": report.seconds,
            }
        )
    console = Console(quiet=True) if json else context.console
    console.print(
        f"{counts.read:,} rows read = {counts.accepted:,} accepted + {counts.quarantined:,} quarantined,"
        f" in {report.seconds:.1f} s",
        highlight=False,
        soft_wrap=True,
    )
    print_reasons(console, f"Quarantined (burnish data quarantine {name})", report.reasons)
    print_reasons(console, "Kept, but worth knowing", report.warnings)
    for note in report.notes:
        console.print(note, highlight=False, soft_wrap=True)
    if counts.read == 0:
        raise DataError(f"The source of {name} has no rows.", "at least one row", "Check the file.")
    if published is None:
        raise DataError(
            f"No row of {name} keeps its contract, so no version was made.",
            f"{report.mapping.kind} rows",
            f"See `burnish data quarantine {name}`; {_what_it_needs(report)} may be what the file needs.",
        )
    version = published.version
    if published.is_new:
        console.print(
            f"[bold]{version}[/]: {version.num_rows:,} {version.kind} rows, {published.num_new_rows:,} of them new;"
            f" fingerprint {version.fingerprint}",
            highlight=False,
            soft_wrap=True,
        )
        console.print(f"Next: burnish data card {version}", highlight=False, soft_wrap=True)
    else:
        console.print(
            f"The same rows as [bold]{version}[/]: no new version.", highlight=False, soft_wrap=True
        )
    return 0


def _what_it_needs(report: "ImportReport") -> str:
    if any("verifier is missing" in reason for reason in report.reasons):
        return "--verifier NAME (`burnish verifier list` has them)"
    return "another --map or --kind"


def print_mapping(console: Console, mapping: "Mapping") -> None:
    from infra.intake.shapes import describe

    table = Table(title=f"Read as {mapping.shape} ({mapping.kind})", title_justify="left", box=None)
    table.add_column("column", style="bold")
    table.add_column("from", overflow="fold")
    for column, expression in describe(mapping):
        table.add_row(column, plain_text(expression))
    console.print(table)
    if mapping.dropped:
        console.print(plain_text(f"Not kept: {', '.join(mapping.dropped)} (keep one with --map NAME=NAME)"))


def print_reasons(console: Console, title: str, reasons: dict[str, int]) -> None:
    if not reasons:
        return
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("rows", justify="right")
    table.add_column("reason", overflow="fold")
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1])[:REASONS_SHOWN]:
        table.add_row(f"{count:,}", plain_text(reason))
    console.print(table)
