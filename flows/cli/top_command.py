"""`burnish top`: what runs just now."""

import time
from typing import Annotated

from cyclopts import Parameter
from rich.console import Group
from rich.live import Live

from flows.cli.context import open_context, print_json
from flows.cli.run_commands import Json
from flows.top import snapshot_document, take_snapshot
from flows.top_view import snapshot_lines

_REFRESH_SECONDS = 2.0


def top(
    *,
    once: Annotated[bool, Parameter(negative=(), help="Print it once instead of following it.")] = False,
    json: Json = False,
) -> None:
    """Show what runs: runs of this home with their stages at work, accelerators and who waits, servers.

    Of a stage: how far it is, its newest reward and loss, its speed and the memory its processes take. Accelerators
    are those of the machine, whatever the home. On a terminal it follows until Ctrl-C; elsewhere it prints once.

    For example:

        burnish top
        burnish top --once
        burnish top --json
    """
    context = open_context()
    console = context.console
    if json:
        print_json(snapshot_document(take_snapshot(context.home, context.ledger)))
        return
    lines = Group(*snapshot_lines(take_snapshot(context.home, context.ledger)))
    if once or not console.is_terminal or console.is_dumb_terminal:
        console.print(lines, highlight=False)
        return
    try:
        with Live(lines, console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(_REFRESH_SECONDS)
                snapshot = take_snapshot(context.home, context.ledger)
                live.update(Group(*snapshot_lines(snapshot)), refresh=True)
    except KeyboardInterrupt:
        return
