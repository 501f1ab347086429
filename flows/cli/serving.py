"""`burnish ui` and `burnish serve`: this home's own servers, and recipes on a schedule."""

import os
import signal
import threading
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from data_contracts.errors import RecipeError
from flows.cli.context import Context, open_context, print_json
from flows.cli.run_commands import Json, Overrides, RecipeName
from flows.recipe_files import find_recipe, read_recipe
from infra.environment import run_environment
from infra.servers import Servers, start_servers, stop_servers


def ui(
    *,
    prefect_port: Annotated[int | None, Parameter(help="4200 if it is free.")] = None,
    mlflow_port: Annotated[int | None, Parameter(help="5000 if it is free.")] = None,
    detach: Annotated[bool, Parameter(negative=(), help="Leave the servers running and return.")] = False,
    stop: Annotated[bool, Parameter(negative=(), help="Stop this home's servers.")] = False,
    json: Json = False,
) -> None:
    """Start Prefect's and MLflow's web pages for this home, on loopback, and print their addresses.

    Runs started while they are up appear in them live. Ctrl-C stops them.

    For example:

        burnish ui
        burnish ui --detach
        burnish ui --stop
    """
    context = open_context()
    if stop:
        stop_servers(context.home.path)
        context.console.print("Stopped.")
        return
    servers = _start(context, prefect_port, mlflow_port)
    if json:
        print_json({"prefect": servers.prefect.url, "mlflow": servers.mlflow.url})
    else:
        context.console.print(
            f"Prefect  {servers.prefect.url}\nMLflow   {servers.mlflow.url}", highlight=False
        )
    if detach:
        return
    context.console.print("Ctrl-C stops both.")
    _wait_for_interrupt()
    stop_servers(context.home.path)


def serve(
    recipe: RecipeName,
    *,
    cron: Annotated[str | None, Parameter(help='When, as in "0 2 * * *": every night at two.')] = None,
    interval: Annotated[int | None, Parameter(help="Every so many seconds.")] = None,
    timezone: Annotated[str, Parameter(help="Of the cron expression.")] = "UTC",
    set_: Overrides = None,
) -> None:
    """Run a recipe on a schedule, through Prefect. Ends with Ctrl-C; the schedule stays with the process.

    A run in which nothing changed trains nothing. Starts this home's servers if they are not up.

    For example:

        burnish serve tiny --cron "0 2 * * *"
        burnish serve my.yaml --interval 3600
    """
    if (cron is None) == (interval is None):
        raise RecipeError(
            "No schedule was given." if cron is None else "Two schedules were given.", "--cron or --interval"
        )
    context = open_context()
    wanted = read_recipe(find_recipe(recipe), set_ or [])
    servers = _start(context, None, None)
    needs_hub = wanted.base.model is not None or any(d.hub for d in wanted.datasets.values())
    os.environ.update(run_environment(context.home, os.environ, needs_hub=needs_hub, prefect_console="INFO"))
    context.console.print(
        f"Serving {wanted.name}: {cron or f'every {interval} s'} ({timezone}). Runs: {servers.prefect.url}",
        highlight=False,
    )
    from flows.schedule import serve_recipe

    serve_recipe(wanted, cron, interval, timezone)


def _start(context: Context, prefect_port: int | None, mlflow_port: int | None) -> Servers:
    with Console(stderr=True).status("Starting the servers (20 s the first time)…"):
        return start_servers(context.home.path, prefect_port, mlflow_port)


def _wait_for_interrupt() -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
