"""`burnish deploy`: a recipe on a schedule, at a Prefect server."""

import contextlib
import os
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from data_contracts import notify_config
from data_contracts.errors import RecipeError
from flows.cli.context import Context, open_context, print_json
from flows.cli.run_commands import Json, Overrides, RecipeName
from flows.recipe import Recipe
from flows.recipe_files import find_recipe, override_recipe, parse_overrides, read_document
from infra.environment import run_environment
from infra.home import Home
from infra.run_server import run_server

if TYPE_CHECKING:
    from flows.schedule import Deployed

POOL = "burnish"

Cron = Annotated[str | None, Parameter(help='When, as in "0 2 * * *": every night at two.')]
Interval = Annotated[int | None, Parameter(help="Every so many seconds, counted from 2020 on.")]
Timezone = Annotated[str, Parameter(help="Of the schedule, such as Europe/Berlin.")]
Pool = Annotated[
    str, Parameter(help="Work pool whose workers take the runs; made, of type process, if missing.")
]
Promote = Annotated[
    Literal["if-better"] | None,
    Parameter(
        help="After a run, judge its last model against the champion; `if-better` promotes it if it is."
    ),
]
Notify = Annotated[
    list[str] | None,
    Parameter(
        negative=(),
        help="Who is told of failures, refusals and promotions: `webhook=env:NAME`, `email=file:/PATH` or "
        "`command=[program, argument]`; `on=[failure, success]` says of what. May be repeated.",
    ),
]


def deploy(
    recipe: RecipeName,
    *,
    cron: Cron = None,
    interval: Interval = None,
    timezone: Timezone = "UTC",
    pool: Pool = POOL,
    name: Annotated[str | None, Parameter(help="Of the deployment; by default the recipe's.")] = None,
    promote: Promote = None,
    notify: Notify = None,
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """Put a recipe on a schedule at a Prefect server: PREFECT_API_URL, or this home's own.

    The deployment holds the recipe as it is now: after editing the file, deploy it again. Said twice, it changes
    nothing. `burnish serve`, or a Prefect worker, takes the runs.

    A run in which nothing changed trains nothing and ends as `NothingToDo`. One that is due while another of the
    deployment is at work is cancelled. Runs that were due while no worker was there are late: one makes up for
    all of them. A run that crashed is continued by the next, from its last checkpoint; where the whole machine
    went down, its place is free again after five minutes.

    For example:

        burnish deploy tiny --cron "0 2 * * *" --timezone Europe/Berlin --promote if-better
        burnish deploy my.yaml --interval 3600 --pool gpus --notify webhook=env:BURNISH_WEBHOOK
    """
    context = open_context()
    wanted = read_deployed(recipe, set_, notify)
    own_server = "PREFECT_API_URL" not in os.environ
    os.environ.update(run_environment(context.home, os.environ, needs_hub=False))
    from flows import schedule

    when = schedule.read_schedule(cron, interval, timezone)
    as_wanted = schedule.Wanted(wanted.name if name is None else name, pool, when, promote)
    with _server(context.home) as server, schedule.joined(server):
        deployed = schedule.deploy(context.home, wanted, as_wanted, datetime.now(UTC))
    if json:
        print_json(_document(deployed, own_server=own_server))
        return
    show_deployed(context, deployed, timezone)
    say = context.console.print
    say(f"Start a worker: [bold]{worker_command(deployed, own_server=own_server)}[/]", highlight=False)
    say("It holds the recipe as it is now: after editing the file, deploy it again.", highlight=False)


def read_deployed(recipe: str, overrides: Sequence[str] | None, notify: Sequence[str] | None) -> Recipe:
    """The recipe with what the command line adds to it. Raises RecipeError."""
    path = find_recipe(recipe)
    for each in notify or ():
        _require_notify(each)
    fields = parse_overrides([*(overrides or ()), *(f"run.notify.{each}" for each in notify or ())])
    return override_recipe(read_document(path), fields, str(path))


def _require_notify(given: str) -> None:
    """What was given is not repeated: it may be an address, and addresses hold tokens."""
    way, _, place = given.partition("=")
    if way in ("webhook", "email") and not notify_config.is_place(place):
        raise RecipeError(
            f"--notify {way}=… does not say where the address is.",
            f"{way}=env:NAME, the environment variable that holds it, or {way}=file:/ABSOLUTE/PATH",
            f"Addresses hold tokens, so none is given here itself: set BURNISH_{way.upper()} where the runs take "
            f"place, and say --notify {way}=env:BURNISH_{way.upper()}.",
        )
    if way not in notify_config.Notify.model_fields:
        raise RecipeError(
            "--notify cannot be read.",
            "webhook=env:NAME, email=file:/PATH, command=[PROGRAM, ARGUMENT] or on=[failure, success]",
        )


def show_deployed(context: Context, deployed: "Deployed", timezone: str) -> None:
    """What was made, and when it runs next."""
    made = "made" if deployed.is_new else "updated"
    fires = ", ".join(f"{fire:%Y-%m-%d %H:%M:%S}" for fire in deployed.fires)
    say = context.console.print
    say(f"Deployment {deployed.name} {made}, on work pool {deployed.pool}.", highlight=False, markup=False)
    say(f"Next: {fires} ({timezone})", highlight=False, markup=False)


def worker_command(deployed: "Deployed", *, own_server: bool) -> str:
    """What starts a worker for it."""
    prefect = f"prefect worker start --pool {deployed.pool}"
    serve = "burnish serve" + ("" if deployed.pool == POOL else f" --pool {deployed.pool}")
    if deployed.pool_type != "process":
        return prefect
    return f"{serve} (starts this home's servers too)" if own_server else f"{serve}, or {prefect}"


def _document(deployed: "Deployed", *, own_server: bool) -> dict[str, Any]:
    return {
        "deployment": deployed.name,
        "id": str(deployed.id),
        "is_new": deployed.is_new,
        "pool": deployed.pool,
        "pool_type": deployed.pool_type,
        "next": [fire.isoformat() for fire in deployed.fires],
        "worker": worker_command(deployed, own_server=own_server),
    }


def answering(api_url: str) -> str:
    """The address, once it has answered. Raises ServerError."""
    from flows.server_check import require_answer

    require_answer(api_url)
    return api_url


@contextlib.contextmanager
def _server(home: Home) -> Generator[str]:
    """Address of the environment's Prefect server, or of this home's own, which is started for a moment."""
    if given := os.environ.get("PREFECT_API_URL"):
        yield answering(given)
        return
    with Console(stderr=True).status("Starting Prefect for a moment…"), run_server(home) as server:
        server.wait_until_it_answers()
        yield server.api_url
