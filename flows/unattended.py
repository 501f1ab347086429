"""A run that nobody sits beside: a schedule began it, or a button on Prefect's page.

`burnish run` does three things around its flow that such a run has to do for itself: it gives the process this
home's environment, it waits until no other run of the recipe is at work in the home, and it ends where there is
nothing to do, or nothing but what waits for a gate that refused before. The last is said by the state's name,
`NothingToDo`: no training, and no run in MLflow.
"""

import atexit
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.announcing import tell
from flows.gating import is_refused, require_passed
from flows.plan import Plan, Wishes, make_plan
from flows.promote_if_better import Judged, promote_if_better
from flows.recipe import Recipe
from flows.running import needs_hub, reuse_if_finished
from infra.environment import run_environment
from infra.home import home_path, open_home
from infra.ledger import Ledger

logger = logging.getLogger("burnish")

NOTHING_TO_DO = "NothingToDo"


def run_unattended(
    recipe: Recipe,
    wishes: Wishes,
    promote: Literal["if-better"] | None,
    run: Callable[[Recipe, Wishes], dict[str, Any]],
) -> State[Any]:
    """Run what is to be run, then promote it if wanted; the state that says what became of it."""
    logger.setLevel(logging.INFO)
    atexit.register(_end_quietly)
    home = open_home(home_path(os.environ, Path.cwd()))
    os.environ.update(run_environment(home, os.environ, needs_hub=needs_hub(recipe)))
    ledger = Ledger(home.ledger_path)
    with home.lock(
        f"recipe-{recipe.name}",
        holder=f"a scheduled run of {recipe.name}",
        on_wait=lambda holder: logger.info("Waiting: %s is at work in this home.", holder),
    ):
        planned = make_plan(recipe, home, ledger, wishes)
        if wishes.override is not None:
            for gate in planned.gates:
                require_passed(ledger, gate, wishes.override)
        refused = [gate.stage for gate in planned.gates if is_refused(ledger, gate)]
        reused = reuse_if_finished(home, ledger, planned)
        if reused is None:
            summary, said, name = run(recipe, wishes), f"Run {recipe.name} is done.", None
        else:
            ledger.note_run_ids(reused.run_id, flow_run.get_id(), None)
            summary, said = reused.model_dump(mode="json"), _nothing_to_do(planned, refused)
            name = NOTHING_TO_DO
    # Without the lock: judging may have to run an evaluation of the recipe.
    judged = promote_if_better(home, ledger, recipe) if promote and not refused else None
    _tell_of(recipe, said, judged, is_news=reused is None)
    if judged is not None:
        summary, said = summary | {"promotion": judged.sentence}, f"{said} {judged.sentence}"
    return Completed(name=name, message=said, data=summary)


def _nothing_to_do(planned: Plan, refused: Sequence[str]) -> str:
    if refused:  # told when it refused; a night in which it still does is no news
        return f"Skipped: nothing to do, what {', '.join(refused)} refused before is refused still."
    return f"Skipped: nothing to do, all {planned.num_reused} nodes are reused."


def _tell_of(recipe: Recipe, said: str, judged: Judged | None, *, is_news: bool) -> None:
    if is_news:
        tell(recipe, "success", said)
    if judged is not None and judged.event is not None:
        tell(recipe, judged.event, judged.sentence, [judged.model])


def _end_quietly() -> None:
    """DuckDB's bindings report every object that is left when the interpreter ends, a hundred lines a run."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
