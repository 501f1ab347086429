"""`burnish doctor` and `burnish gc`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.cli.context import open_context, plain_console, print_json
from flows.cli.run_commands import Json
from infra.home import home_path
from infra.servers import server_environment

if TYPE_CHECKING:
    from flows.doctor.checkup import Report


def doctor(
    *,
    fix: Annotated[
        bool, Parameter(negative=(), help="Repair what can be repaired; what you gave is never removed.")
    ] = False,
    deep: Annotated[bool, Parameter(negative=(), help="Also read all weights and hash every row.")] = False,
    json: Json = False,
) -> int:
    """Check this home: ledger, models, MLflow, datasets, runs, and what killed processes left behind.

    Exits with 0 when it is sound, 1 when something is left to do. Without --fix nothing is changed.

    For example:

        burnish doctor
        burnish doctor --deep
        burnish doctor --fix
        burnish doctor --json
    """
    path = home_path(os.environ, Path.cwd())
    os.environ.update(server_environment(path))  # MLflow reads it while it is imported
    from flows.doctor.checkup import examine

    reports: list[Report] = []
    console = plain_console()
    with Console(stderr=True).status("Looking…"):
        for report in examine(path, is_deep=deep, fix=fix):
            reports.append(report)
            if not json:
                _show(console, report)
    is_sound = all(report.is_sound for report in reports)
    if json:
        print_json(
            {
                "home": str(path),
                "sound": is_sound,
                "sections": [
                    {
                        "section": report.section,
                        "sound": report.is_sound,
                        "repaired": list(report.repaired),
                        "findings": [
                            {
                                "found": finding.found,
                                "matters": finding.matters,
                                "do": finding.do,
                                "repairable": finding.repair is not None,
                                "note": finding.is_note,
                                "left": report.left.get(finding.found, ""),
                            }
                            for finding in report.findings
                        ],
                    }
                    for report in reports
                ],
            }
        )
    elif not is_sound and not fix and any(f.repair for report in reports for f in report.findings):
        console.print("`burnish doctor --fix` does what is marked with “fix”.", soft_wrap=True)
    return 0 if is_sound else 1


def gc(
    *,
    yes: Annotated[bool, Parameter(negative=(), help="Remove; without it, only show.")] = False,
    keep_last: Annotated[
        int,
        Parameter(help="Keep what the newest N finished runs of each recipe have.", validator=Number(gte=1)),
    ] = 1,
    json: Json = False,
) -> int:
    """Free the space of models, checkpoints, caches and logs that nothing needs.

    What an alias, a promotion or the newest run of a recipe names stays. The ledger keeps every row: a result that
    went is made again when a plan wants it. `burnish data gc` does the same for versions of datasets.

    For example:

        burnish gc
        burnish gc --keep-last 3
        burnish gc --yes
    """
    context = open_context()
    os.environ.update(server_environment(context.home.path))
    from flows.doctor.garbage import Collection

    collection = Collection(context.home, context.ledger, keep_last)
    left: dict[str, str] = {}
    if yes:
        with collection.hold_off_runs():
            found = collection.find()
            for waste in found:
                if why := waste.remove():
                    left[waste.what] = why
    else:
        found = collection.find()
    if json:
        print_json(
            {
                "applied": yes,
                "bytes": sum(waste.num_bytes for waste in found if waste.what not in left),
                "items": [
                    {
                        "kind": waste.kind,
                        "what": waste.what,
                        "bytes": waste.num_bytes,
                        "why": waste.why,
                        "left": left.get(waste.what, ""),
                    }
                    for waste in found
                ],
            }
        )
        return 0
    console = plain_console()
    if not found:
        console.print("Everything here is needed.")
        return 0
    table = Table(title="Removed" if yes else "Nothing needs this", title_justify="left")
    for heading in ("kind", "what", "why"):
        table.add_column(heading, overflow="fold")
    table.add_column("MB", justify="right")
    for waste in found:
        table.add_row(
            waste.kind, waste.what, left.get(waste.what, waste.why), f"{waste.num_bytes / 1e6:,.2f}"
        )
    console.print(table)
    total = sum(waste.num_bytes for waste in found if waste.what not in left) / 1e6
    told = f"Removed {total:,.1f} MB." if yes else f"{total:,.1f} MB can go. `burnish gc --yes` removes it."
    console.print(told, soft_wrap=True)
    return 0


def _show(console: Console, report: "Report") -> None:
    if report.is_sound:
        repaired = f", {len(report.repaired)} repaired" if report.repaired else ""
        console.print(Text.assemble(("✓ ", "green"), report.section, repaired))
    else:
        console.print(Text.assemble(("✗ ", "red"), report.section))
    for found in report.repaired:
        console.print(Text.assemble(("    repaired: ", "green"), found), soft_wrap=True)
    for finding in report.findings:
        style = "dim" if finding.is_note else "yellow"
        console.print(Text.assemble("    ", (finding.found, style)), soft_wrap=True)
        console.print(Text(f"      {finding.matters}"), soft_wrap=True)
        mark = "fix: " if finding.repair is not None else "do: "
        console.print(Text(f"      {mark}{report.left.get(finding.found) or finding.do}"), soft_wrap=True)
