"""What runs that were killed left behind, put in order by the next run of the same recipe.

Results need none of this: they are whole or not there. But somebody has to say that a dead run is over, and to
remove what only its process could have used.
"""

import contextlib
import shutil

from data_contracts.errors import HomeError
from flows.past_runs import CRASHED, run_state
from flows.plan import Plan
from infra import records as states
from infra.home import Home
from infra.ledger import Ledger
from infra.liveness import is_abandoned, remove
from infra.records import Execution


def settle_crashed_runs(home: Home, ledger: Ledger, planned: Plan) -> None:
    """End the recipe's crashed runs in MLflow, then in the ledger; remove what they left on disk."""
    for folder in (*home.directories, home.fetched_models_dir, home.reference_cache_dir):
        for path in filter(is_abandoned, folder.glob(".*")):
            remove(path)
    for step in planned.steps:
        if step.execution is not None:
            _remove_work(home, step.node.key, step.execution)
    running = [run for run in ledger.runs(planned.recipe.name, limit=-1) if run.state == states.RUNNING]
    crashed = [run for run in running if run_state(run) == CRASHED]
    # A run with something to do imports MLflow anyway.
    if home.has_mlflow and (crashed or not planned.is_over):
        from infra.mlflow_leftovers import end_left_runs

        end_left_runs(home, planned.recipe.name, {run.run_id for run in running if run not in crashed})
    for run in crashed:
        ledger.end_run(run.run_id, CRASHED, run.summary)


def _remove_work(home: Home, key: str, execution: Execution) -> None:
    """The scratch of a stage that is finished, unless somebody began to make it again."""
    folder = home.work_dir / key
    if not folder.exists():
        return
    with contextlib.suppress(HomeError), home.lock(f"stage-{key}", holder="a clean-up", timeout_seconds=0):
        files = [path for path in folder.rglob("*") if path.is_file()]
        if all(file.stat().st_mtime <= execution.ended for file in files):
            shutil.rmtree(folder, ignore_errors=True)
