"""A run without Prefect: what its tasks call, in their order, one after another."""

from pathlib import Path

from flows.ending import finish_run
from flows.pipeline import _begin
from flows.plan import Action, Wishes, make_plan
from flows.recipe_files import read_recipe
from flows.running import reuse_if_finished
from infra import records as states
from infra.home import Home, open_home
from infra.ledger import Ledger


def run_core(home: Home, recipe_path: Path, until: str) -> None:
    """Run a recipe up to a stage. Raises what the stage that failed raised."""
    recipe, wishes = read_recipe(recipe_path, []), Wishes(until=until)
    open_home(home.path)
    ledger = Ledger(home.ledger_path)
    with home.lock(f"recipe-{recipe.name}", holder="chaos"):
        planned = make_plan(recipe, home, ledger, wishes)
        if reuse_if_finished(home, ledger, planned) is not None:
            return
        run = _begin(recipe, wishes)
        try:
            for step in run.plan.steps:
                if step.action is not Action.later:
                    run.make(step.node.name)
        except BaseException:
            run.ledger.end_run(run.run_id, states.FAILED, None)
            run.results.end("FAILED")
            raise
        finish_run(run, {})
