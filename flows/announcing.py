"""Tells those whom `run: {notify: …}` names how a run ended. No hook that fails changes the run's result."""

import contextlib
import logging
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run as current_flow_run

from data_contracts.errors import BurnishError, GateRefused, Interrupted
from data_contracts.notify_config import Event
from flows.recipe import Recipe
from flows.recipe_files import find_recipe, override_recipe, read_document
from flows.view import current_view
from infra.home import Home, home_path
from infra.ledger import Ledger
from infra.notifying import send
from infra.records import INTERRUPTED, Run

logger = logging.getLogger("burnish")

_TITLES: dict[Event, str] = {
    "failure": "the run failed",
    "refusal": "a gate refused",
    "promotion": "a new champion",
    "success": "the run is done",
}


@contextlib.contextmanager
def announced(recipe: Recipe) -> Generator[None]:
    """Around a run: tell of its failure or of a gate's refusal. A run that somebody stopped is no news."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        tell(recipe, "refusal" if isinstance(error, GateRefused) else "failure", _in_words(error))
        raise


def tell(recipe: Recipe, event: Event, text: str, models: Sequence[str] = ()) -> None:
    """Send a message about the flow run we are in; say in a line who could not be told."""
    notify = recipe.run.notify
    if notify is None or event not in notify.on:
        return
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
    for failure in send(notify, message, os.environ):
        logger.warning("%s", failure)
        current_view.get().say(failure)


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
    crashed = f"Run {flow_run.name} of {flow.name} crashed: {state.message}"
    tell(wanted, "failure", f"{crashed}\nThe next run continues where it was.")


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, BurnishError) else f"{type(error).__name__}: {error}"


def _run_of(recipe: str, flow_run_id: str | None) -> Run | None:
    """The flow run as the ledger knows it; None before it began there."""
    home = Home(home_path(os.environ, Path.cwd()))
    if flow_run_id is None or not home.ledger_path.exists():
        return None
    runs = Ledger(home.ledger_path).runs(recipe)
    return next((run for run in runs if run.flow_run_id == flow_run_id), None)
