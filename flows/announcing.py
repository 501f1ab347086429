"""Tells those whom `run: {notify: …}` names how a run ended. No hook that fails changes the run's result.

A deployment that fails every night for one reason says so the first time, after every week of it, and once more
when it is well again. The ledger remembers what was told.
"""

import contextlib
import hashlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import deployment as current_deployment
from prefect.runtime import flow_run as current_flow_run

from data_contracts.errors import BurnishError, GateRefused, HomeError, Interrupted
from data_contracts.notify_config import Event
from flows.recipe import Recipe
from flows.recipe_files import find_recipe, override_recipe, read_document
from flows.view import current_view
from infra.home import Home, home_path
from infra.ledger import Ledger
from infra.notifying import send
from infra.records import INTERRUPTED, Run

logger = logging.getLogger("burnish")

News: TypeAlias = Event | Literal["recovery"]

_REMINDER_SECONDS = 7 * 24 * 3600.0
_NUMBERS = re.compile(r"(?<!\w)\d[\w.,:-]*")
"""Runs, processes, sizes and times differ from night to night in words about one failure."""

_TITLES: dict[News, str] = {
    "failure": "the run failed",
    "refusal": "a gate refused",
    "promotion": "a new champion",
    "alarm": "an alarm",
    "success": "the run is done",
    "recovery": "runs are well again",
}


@contextlib.contextmanager
def announced(recipe: Recipe) -> Generator[None]:
    """Around a run: tell of its failure or of a gate's refusal. A run that somebody stopped is no news."""
    deployment = current_deployment.get_id()
    try:
        yield
    except Interrupted:
        raise
    except GateRefused as error:
        tell(recipe, "refusal", str(error))
        raise
    except Exception as error:
        _tell_of_failure(recipe, deployment, _in_words(error))
        raise
    _tell_of_recovery(recipe, deployment)


def tell(recipe: Recipe, event: News, text: str, models: Sequence[str] = ()) -> bool:
    """Send a message about the flow run we are in; say in a line who could not be told. Whether all were.

    Who hears of failures hears of the recovery.
    """
    notify = recipe.run.notify
    if notify is None or ("failure" if event == "recovery" else event) not in notify.on:
        return False
    flow_run_id = current_flow_run.get_id()
    run = _run_of(recipe.name, flow_run_id)
    message: dict[str, Any] = {
        "event": event,
        "title": f"{recipe.name}: {_TITLES[event]}",
        "text": f"{recipe.name}: {_TITLES[event]}\n{text}",
        "recipe": recipe.name,
        "run": run.run_id if run else None,
        "flow_run": flow_run_id,
        "models": list(models),
    }
    failures = send(notify, message, os.environ)
    for failure in failures:
        logger.warning("%s", failure)
        current_view.get().say(failure)
    return not failures


def tell_of_crash(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Prefect's hook: the process of a flow run is gone. Called by whoever had started it.

    One that had the time to say that it was interrupted was stopped by somebody: no news.
    """
    parameters = flow_run.parameters
    recipe = parameters["recipe"]
    document = read_document(find_recipe(recipe)) if isinstance(recipe, str) else recipe
    wanted = override_recipe(document, parameters.get("overrides") or {})
    run = _run_of(wanted.name, str(flow_run.id))
    if run is not None and run.state == INTERRUPTED:
        return
    crashed = f"A run of {flow.name} crashed: {state.message}\nThe next run continues where it was."
    _tell_of_failure(wanted, str(flow_run.deployment_id) if flow_run.deployment_id else None, crashed)


def _tell_of_failure(recipe: Recipe, deployment: str | None, text: str) -> None:
    """A run that no deployment asked for tells always."""
    ledger = _ledger()
    if deployment is None or ledger is None:
        tell(recipe, "failure", text)
        return
    words = hashlib.sha256(_NUMBERS.sub("#", text).encode(errors="surrogatepass")).hexdigest()
    now, before = time.time(), ledger.failure_told(deployment)
    if before is not None and before[0] == words and now - before[1] < _REMINDER_SECONDS:
        logger.info("The run failed as it did before, of which was told.")
        return
    told_again = "It is told again when it fails otherwise, or for a week."
    if tell(recipe, "failure", f"{text}\n{told_again}"):
        with contextlib.suppress(sqlite3.Error):  # a full disk: the failure itself is what matters
            ledger.note_failure_told(deployment, words, now)


def _tell_of_recovery(recipe: Recipe, deployment: str | None) -> None:
    ledger = _ledger()
    if deployment is None or ledger is None or (before := ledger.failure_told(deployment)) is None:
        return
    since = datetime.fromtimestamp(before[1], UTC)
    if tell(recipe, "recovery", f"The failure that was told at {since:%Y-%m-%d %H:%M} UTC is over."):
        ledger.forget_failure_told(deployment)


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, BurnishError) else f"{type(error).__name__}: {error}"


def _run_of(recipe: str, flow_run_id: str | None) -> Run | None:
    """The flow run as the ledger knows it; None before it began there."""
    ledger = _ledger()
    if flow_run_id is None or ledger is None:
        return None
    return next((run for run in ledger.runs(recipe) if run.flow_run_id == flow_run_id), None)


def _ledger() -> Ledger | None:
    """None where there is none yet, or one that cannot be used: that may be the failure to tell of."""
    path = Home(home_path(os.environ, Path.cwd())).ledger_path
    if not path.exists():
        return None
    try:
        return Ledger(path)
    except HomeError:
        return None
