"""`burnish ui` and `burnish serve`: this home's own servers, and recipes on a schedule."""

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from data_contracts.errors import HomeError, RecipeError, ServerError
from flows.cli.context import Context, open_context, print_json
from flows.cli.deploying import (
    POOL,
    Cron,
    Interval,
    Notify,
    Pool,
    Promote,
    Timezone,
    answering,
    read_deployed,
    show_deployed,
)
from flows.cli.run_commands import Json, Overrides
from infra.environment import run_environment
from infra.home import Home
from infra.servers import SERVE, Servers, release_servers, running_servers, start_servers, stop_servers
from infra.settings import mlflow_server, prefect_server

_WATCH_SECONDS = 5.0


def ui(
    *,
    prefect_port: Annotated[int | None, Parameter(help="4200 if it is free.")] = None,
    mlflow_port: Annotated[int | None, Parameter(help="5000 if it is free.")] = None,
    detach: Annotated[bool, Parameter(negative=(), help="Leave the servers running and return.")] = False,
    stop: Annotated[bool, Parameter(negative=(), help="Stop this home's servers.")] = False,
    json: Json = False,
) -> None:
    """Start Prefect's and MLflow's web pages for this home, on loopback, and print their addresses.

    Runs started while they are up appear in them live. Ctrl-C stops them, unless `burnish serve` is at work with
    them. Where MLFLOW_TRACKING_URI and
    PREFECT_API_URL name a team's servers, their addresses are printed and nothing is started.

    For example:

        burnish ui
        burnish ui --detach
        burnish ui --stop
    """
    context = open_context()
    if stop:
        if holder := context.home.holder_of(SERVE):
            raise HomeError(
                f"{holder} is at work with the servers of {context.home.path}.",
                "servers that nothing works with",
                "End it first, with Ctrl-C or SIGTERM: it ends those that it started.",
            )
        stop_servers(context.home.path)
        context.console.print("Stopped.")
        return
    given = _team_servers()
    prefect, mlflow = given or _pages(_start(context, prefect_port, mlflow_port, stay=detach))
    if json:
        print_json({"prefect": prefect, "mlflow": mlflow})
    else:
        context.console.print(f"Prefect  {prefect}\nMLflow   {mlflow}", highlight=False)
    if given or detach:
        return
    context.console.print("Ctrl-C stops both.")
    _wait_for_interrupt()
    if holder := context.home.holder_of(SERVE):
        context.console.print(f"They stay: {holder} is at work with them.", highlight=False, markup=False)
        return
    stop_servers(context.home.path)


def _pages(servers: Servers) -> tuple[str, str]:
    return servers.prefect.url, servers.mlflow.url


def _team_servers() -> tuple[str, str] | None:
    """The pages of the Prefect and MLflow servers that the environment names; None where this home has its own."""
    prefect, mlflow = prefect_server(os.environ), mlflow_server(os.environ)
    if mlflow is None:
        return None
    if prefect is None:
        raise ServerError(
            f"MLFLOW_TRACKING_URI names the server {mlflow}, and PREFECT_API_URL names none.",
            "both, or neither: this home starts its own servers together",
            "Set PREFECT_API_URL too, or unset MLFLOW_TRACKING_URI.",
        )
    return prefect.removesuffix("/api"), mlflow


def serve(
    *recipes: Annotated[str, Parameter(help="Recipes to put on the schedule while this runs.")],
    cron: Cron = None,
    interval: Interval = None,
    timezone: Timezone = "UTC",
    pool: Pool = POOL,
    promote: Promote = None,
    notify: Notify = None,
    set_: Overrides = None,
) -> None:
    """Run recipes on a schedule: scheduler and worker for one machine. Ctrl-C ends it.

    Without a recipe it takes the runs of what `burnish deploy` put into the work pool. With recipes it deploys
    them first, and pauses them when it ends. It starts this home's servers if they are not up, and ends those
    again. Ctrl-C stops a run at work with a checkpoint, and the next one continues there.

    A run in which nothing changed trains nothing; see `burnish deploy --help` for what else there is to know.

    For example:

        burnish serve
        burnish serve tiny --cron "0 2 * * *"
        burnish serve tiny my.yaml --interval 3600 --promote if-better
    """
    if not recipes and any(each is not None for each in (cron, interval, set_, notify, promote)):
        raise RecipeError("There is no recipe to put on a schedule.", "`burnish serve RECIPE --cron …`")
    context = open_context()
    wanted = [read_deployed(recipe, set_, notify) for recipe in recipes]
    if twice := {each.name for each in wanted if [other.name for other in wanted].count(each.name) > 1}:
        raise RecipeError(
            f"Several of these recipes have the name {', '.join(sorted(twice))}.",
            "recipes of different names: each is deployed under its own",
            "Rename one, or `burnish deploy` it with a --name of its own.",
        )
    given = os.environ.get("PREFECT_API_URL")
    os.environ.update(run_environment(context.home, os.environ, needs_hub=True, prefect_console="INFO"))
    from flows import schedule
    from flows.server_check import require_mlflow
    from flows.worker import work

    times = [schedule.read_schedule(cron, interval, timezone) for _ in wanted]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_alone(context.home))
        require_mlflow(context.home)
        server = answering(os.environ["PREFECT_API_URL"]) if given else stack.enter_context(_own(context))
        stack.enter_context(schedule.joined(server))
        if schedule.pool_type(pool) != schedule.PROCESS:
            raise RecipeError(f"The work pool {pool} needs a worker of its own kind.", "a process pool")
        for each, when in zip(wanted, times, strict=True):
            as_wanted = schedule.Wanted(each.name, pool, when, promote)
            deployed = schedule.deploy(context.home, each, as_wanted, datetime.now(UTC))
            stack.enter_context(schedule.paused_at_end(deployed))
            show_deployed(context, deployed, timezone)
        page = server.rstrip("/").removesuffix("/api")
        names = ", ".join(schedule.deployments_of(pool)) or "no deployment yet"
        say = functools.partial(context.console.print, highlight=False, markup=False)
        say(f"Serving work pool {pool} ({names}). Ctrl-C ends it. Runs: {page}")
        work(pool, say)


@contextlib.contextmanager
def _alone(home: Home) -> Generator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(home.lock(SERVE, holder="burnish serve", timeout_seconds=0))
        except HomeError as error:
            raise HomeError(
                f"{home.holder_of(SERVE) or 'Another burnish serve'} is at work on the home {home.path}.",
                "one `burnish serve` a home: it takes the runs of all its deployments",
                "`burnish deploy RECIPE` adds a recipe to it. Or end it with Ctrl-C or SIGTERM, then try again.",
            ) from error
        yield


@contextlib.contextmanager
def _own(context: Context) -> Generator[str]:
    """This home's own Prefect server; ended again, with MLflow's, if it was started here or its starter is gone."""
    left = running_servers(context.home.path)
    servers = _start(context, None, None)
    if left is not None and left.is_left:
        context.console.print(
            "The servers of this home outlived their starter; they are used, and end with this."
        )
    try:
        with _watched(context, servers):
            yield servers.prefect_api_url
    finally:
        release_servers(context.home.path)


@contextlib.contextmanager
def _watched(context: Context, servers: Servers) -> Generator[None]:
    """A server that dies is started again at its address: those who are at work with it wait for it."""
    is_over = threading.Event()
    ports = servers.prefect.port, servers.mlflow.port

    def watch() -> None:
        while not is_over.wait(_WATCH_SECONDS):
            if running_servers(context.home.path) is None:
                context.console.print("A server of this home is gone; both are started again.")
                try:
                    start_servers(context.home.path, *ports, stay=servers.keeper is None)
                except HomeError as error:
                    context.console.print(str(error), markup=False)
                    return

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        is_over.set()
        watching.join()


def _start(
    context: Context, prefect_port: int | None, mlflow_port: int | None, *, stay: bool = False
) -> Servers:
    with Console(stderr=True).status("Starting the servers (20 s the first time)…"):
        return start_servers(context.home.path, prefect_port, mlflow_port, stay=stay)


def _wait_for_interrupt() -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
