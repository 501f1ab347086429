"""Schedules are Prefect's: one deployment of the flow per recipe, whose runs a worker of a work pool takes.

A deployment holds the recipe's document as it was when it was deployed: a file that is edited afterwards changes
nothing until `burnish deploy` is said again. Never are two runs of a deployment at work: one that is due
meanwhile is cancelled, and what it would have done is done by the next.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import ObjectNotFound
from prefect.server.schemas import schedules as server_schedules
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.asyncutils import run_coro_as_sync
from prefect.workers.process import ProcessWorker

from data_contracts.errors import RecipeError, ServerError
from flows.late_runs import renew_late_runs
from flows.pipeline import post_training
from flows.recipe import Recipe, nearest
from infra.home import Home

PROCESS = "process"
_POOL_TYPES = (PROCESS, "docker", "kubernetes")
"""Pools whose workers run a command in an environment they are given."""

_NUM_FIRES = 3
_LONGEST_SECONDS = 10 * 366 * 24 * 3600

Promote = Literal["if-better"]
When = CronSchedule | IntervalSchedule


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a recipe is to be deployed."""

    name: str
    pool: str
    when: When
    promote: Promote | None


@dataclass(frozen=True, slots=True)
class Deployed:
    """A recipe on a schedule, at a Prefect server."""

    id: UUID
    name: str
    """`post_training/tiny`."""

    pool: str
    pool_type: str
    is_new: bool
    fires: tuple[datetime, ...]
    """The next ones, in the schedule's zone."""


def read_schedule(cron: str | None, interval: int | None, timezone: str) -> When:
    """Raises RecipeError for a schedule that is none."""
    if (cron is None) == (interval is None):
        found = (
            "No schedule was given." if cron is None else "Two schedules were given, --cron and --interval."
        )
        raise RecipeError(found, "--cron or --interval", '`--cron "0 2 * * *"` is every night at two.')
    if timezone not in (zones := available_timezones()):
        raise RecipeError(
            f"There is no time zone {timezone!r}.",
            "an IANA name, such as Europe/Berlin or UTC",
            nearest(timezone, sorted(zones)),
        )
    if interval is not None:
        if interval <= 0:
            raise RecipeError(f"--interval {interval} is no time between two runs.", "seconds, at least 1")
        if interval > _LONGEST_SECONDS:
            raise RecipeError(
                f"--interval {interval} is more than ten years.", "seconds, at most ten years of them"
            )
        anchor = datetime(2020, 1, 1, tzinfo=ZoneInfo(timezone))  # so that deploying again moves nothing
        return IntervalSchedule(interval=timedelta(seconds=interval), timezone=timezone, anchor_date=anchor)
    assert cron is not None
    try:
        when = CronSchedule(cron=cron, timezone=timezone)
    except ValueError as error:
        raise RecipeError(
            f"The schedule {cron!r} cannot be read.",
            'minute, hour, day of month, month, day of week, such as "0 2 * * *"; a sixth field is seconds',
        ) from error
    try:
        next_fires(when, datetime.now(UTC))
    except ValueError as error:
        raise RecipeError(
            f"The schedule {cron!r} never fires: no month has such a day.",
            "a day that there is",
            '"0 2 28 * *" is the 28th of every month at two.',
        ) from error
    return when


def next_fires(when: When, after: datetime, count: int = _NUM_FIRES) -> tuple[datetime, ...]:
    """The scheduler's own answer, summer time and all."""
    assert when.timezone is not None
    kind = (
        server_schedules.CronSchedule if isinstance(when, CronSchedule) else server_schedules.IntervalSchedule
    )
    dates = run_coro_as_sync(kind.model_validate(when.model_dump()).get_dates(count, after))
    assert dates is not None
    return tuple(date.astimezone(ZoneInfo(when.timezone)) for date in dates)


def deploy(home: Home, recipe: Recipe, wanted: Wanted, now: datetime) -> Deployed:
    """Make the deployment, or bring it to this. Raises RecipeError for a pool or a name that cannot be used."""
    _require_name(wanted.name, "--name")
    _require_name(wanted.pool, "--pool")
    with get_client(sync_client=True) as client:
        pool_type = _require_pool(client, wanted.pool)
        before = _find(client, wanted.name)
    environment = {"PREFECT_LOGGING_EXTRA_LOGGERS": "burnish"}
    if pool_type == PROCESS:  # an image has a home of its own
        environment["BURNISH_HOME"] = str(home.path)
        _require_same_home(before, environment["BURNISH_HOME"], wanted.name)
    alone = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    deployment: Any = post_training.to_deployment(
        name=wanted.name,
        schedules=[wanted.when],
        paused=False,
        concurrency_limit=alone,
        parameters={
            "recipe": recipe.model_dump(mode="json", exclude_unset=True),
            "promote": wanted.promote,
        },
        description=f"Recipe {recipe.name}, as it was at {now:%Y-%m-%d %H:%M} {now.tzname()}.",
        tags=["burnish"],
        work_pool_name=wanted.pool,
        job_variables={"env": environment},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    made: UUID = deployment.apply()
    if before is not None and before.parameters != deployment.parameters:
        renew_late_runs(made, now)
    return Deployed(
        id=made,
        name=_full_name(wanted.name),
        pool=wanted.pool,
        pool_type=pool_type,
        is_new=before is None,
        fires=next_fires(wanted.when, now),
    )


@contextmanager
def joined(api_url: str) -> Generator[None]:
    """Prefect is imported by now, with an environment that knew no server or another."""
    os.environ["PREFECT_API_URL"] = api_url
    server: dict[Any, str | None] = {
        PREFECT_API_URL: api_url,
        PREFECT_API_AUTH_STRING: os.environ.get("PREFECT_API_AUTH_STRING"),
    }
    with temporary_settings(server):
        yield


def pool_type(pool: str) -> str:
    """A process pool is made where there is none of this name. Raises RecipeError for a type we cannot use."""
    _require_name(pool, "--pool")
    with get_client(sync_client=True) as client:
        return _require_pool(client, pool)


def deployments_of(pool: str) -> list[str]:
    """Names of what runs in the pool, unless it is paused."""
    of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    with get_client(sync_client=True) as client:
        found = client.read_deployments(work_pool_filter=of_pool)
    return sorted(each.name for each in found if not each.paused)


@contextmanager
def paused_at_end(deployed: Deployed) -> Generator[None]:
    """A schedule that lasts as long as whoever serves it."""
    try:
        yield
    finally:
        try:
            with get_client(sync_client=True) as client:
                client.pause_deployment(deployed.id)
        except httpx.TransportError as error:
            raise ServerError(
                f"The deployment {deployed.name} could not be paused: its Prefect server does not answer.",
                "a server that answers until everything is told",
                "Runs that fall due wait for the next worker of the pool; `burnish serve` is one.",
            ) from error


def _require_pool(client: SyncPrefectClient, pool: str) -> str:
    """The type of the pool; a process pool is made where there is none of this name."""
    try:
        found = client.read_work_pool(pool).type
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=pool, type=PROCESS, base_job_template=template))
        return PROCESS
    if found not in _POOL_TYPES:
        raise RecipeError(
            f"The work pool {pool} is of type {found!r}.",
            f"one of {', '.join(_POOL_TYPES)}",
            "Name another pool: one that is not there yet is made, of type process.",
        )
    return found


def _require_name(name: str, option: str) -> None:
    if not name.strip() or any(each in "/%&<>" or not each.isprintable() for each in name):
        expected = "letters, digits, spaces and signs, none of them / % & < >"
        raise RecipeError(f"{option} {name!r} is no name.", expected)


def _find(client: SyncPrefectClient, name: str) -> Any:
    try:
        return client.read_deployment_by_name(_full_name(name))
    except ObjectNotFound:
        return None


def _full_name(name: str) -> str:
    return f"{post_training.name}/{name}"


def _require_same_home(before: Any, home: str, name: str) -> None:
    """Two people who share a server and deploy recipes of the same name must not take each other's schedule."""
    theirs = (before.job_variables.get("env") or {}).get("BURNISH_HOME") if before is not None else None
    if theirs not in (None, home):
        raise RecipeError(
            f"The deployment {_full_name(name)} runs in another home, {theirs}.",
            "a name of its own for every home that shares this Prefect server",
            "Give this one another with --name.",
        )
