"""The pipeline as a Prefect flow: one task per node of the recipe's DAG.

    datasets ─► sft ─► verify ─► pairs ─► dpo ─► verify ─► select ─► grpo ─► evaluate

Tasks are thin: each asks the run to make its node. Prefect gives order, states, logs and schedules; what is
done already is the ledger's to say, so Prefect's own cache stays off.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, TypeAlias

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows.announcing import announced, tell_of_crash
from flows.crashed import settle_crashed_runs
from flows.crashed_flow_runs import end_crashed_flow_runs
from flows.ending import finish_run
from flows.execution import PipelineRun
from flows.forwarding import logger
from flows.passing_faults import is_passing
from flows.plan import Action, Wishes, make_plan
from flows.preflight import Prepared, require_sound
from flows.recipe import Recipe
from flows.recipe_files import find_recipe, override_recipe, read_document, write_recipe
from flows.unattended import run_unattended
from flows.view import current_view
from infra import records as states
from infra.home import home_path, open_home
from infra.ledger import Ledger
from infra.process_identity import this_process
from infra.stage_processes import start_fork_server
from stages.child import PRELOAD

_MAX_TASKS = 32

_RETRY_SECONDS = [5.0, 30.0]
"""Before each new try after a fault that may pass."""

prepared_rows: ContextVar[Prepared | None] = ContextVar("prepared_rows", default=None)
"""Rows that the command line's pre-flight read in this process; a scheduled flow reads them itself."""

stop_requested: ContextVar[threading.Event | None] = ContextVar("stop_requested", default=None)


_RUNNER: Any = ThreadPoolTaskRunner(max_workers=_MAX_TASKS)
"""Threads only wait: the work is in child processes."""

StageTask: TypeAlias = Task[[PipelineRun, str], None]


def _stage_task(name: str) -> Callable[[Callable[[PipelineRun, str], None]], StageTask]:
    return task(
        name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(_RETRY_SECONDS),
        retry_delay_seconds=_RETRY_SECONDS,
        retry_condition_fn=is_passing,
    )


@_stage_task("publish dataset")
def publish_dataset(run: PipelineRun, node: str) -> None:
    """Source rows → a checked dataset version in DuckDB."""
    _make(run, node)


@_stage_task("prepare base")
def prepare_base(run: PipelineRun, node: str) -> None:
    """Build or bring in the model everything starts from."""
    _make(run, node)


@_stage_task("take registered model")
def take_registered(run: PipelineRun, node: str) -> None:
    """Start from a version of the registry."""
    _make(run, node)


@_stage_task("train sft")
def train_sft(run: PipelineRun, node: str) -> None:
    """Supervised fine-tuning."""
    _make(run, node)


@_stage_task("train dpo")
def train_dpo(run: PipelineRun, node: str) -> None:
    """Preference optimization, length-normalized."""
    _make(run, node)


@_stage_task("train grpo")
def train_grpo(run: PipelineRun, node: str) -> None:
    """Reinforcement learning with verifiable rewards."""
    _make(run, node)


@_stage_task("verify")
def verify(run: PipelineRun, node: str) -> None:
    """Sample completions and give each its verdict."""
    _make(run, node)


@_stage_task("make pairs")
def make_pairs(run: PipelineRun, node: str) -> None:
    """Verdicts → preference pairs."""
    _make(run, node)


@_stage_task("select problems")
def select_problems(run: PipelineRun, node: str) -> None:
    """Verdicts → problems worth training on."""
    _make(run, node)


@_stage_task("audit verifiers")
def audit(run: PipelineRun, node: str) -> None:
    """Problems → the same problems, their reward shown to be right."""
    _make(run, node)


@_stage_task("gate")
def gate(run: PipelineRun, node: str) -> None:
    """Verdicts of two models → whether what follows may run."""
    _make(run, node)


TASKS: Mapping[str, StageTask] = {
    "dataset": publish_dataset,
    "base": prepare_base,
    "registered": take_registered,
    "sft": train_sft,
    "dpo": train_dpo,
    "grpo": train_grpo,
    "verify": verify,
    "pairs": make_pairs,
    "select": select_problems,
    "audit": audit,
    "gate": gate,
}


@flow(
    name="post_training",
    task_runner=_RUNNER,
    validate_parameters=False,
    persist_result=False,
    on_crashed=[tell_of_crash],
    result_serializer="json",  # what a flow raised is kept all the same: by default as a pickle
)
def post_training(  # noqa: PLR0913, PLR0917 - fields of the form on Prefect's page
    recipe: dict[str, Any] | str,
    force: list[str] | None = None,
    until: str | None = None,
    strict: bool = False,
    overrides: dict[str, Any] | None = None,
    promote: Literal["if-better"] | None = None,
    override: str | None = None,
) -> Any:
    """Run what `recipe` (a recipe's document, its file or its name) wants and the ledger does not have.

    Returns the summary. A run that `burnish run` does not sit beside ends in the state `NothingToDo` where
    there is nothing, and may `promote` what it made.

    `force` runs stages again whatever is stored, `until` ends after a stage, `strict` runs again what other
    libraries or hardware made, `overrides` are fields of the recipe by dotted name, such as {"dpo.beta": 4},
    `override` says why to go on where a gate refuses.

    A failed stage stops what depends on it and nothing else.
    """
    document = read_document(find_recipe(recipe)) if isinstance(recipe, str) else recipe
    wanted = override_recipe(document, overrides or {})
    wishes = Wishes(frozenset(force or ()), until, strict, override)
    with announced(wanted):
        if prepared_rows.get() is not None:  # who called has planned, and holds the recipe's lock
            return _run(wanted, wishes)
        return run_unattended(wanted, wishes, promote, _run)


def _run(recipe: Recipe, wishes: Wishes) -> dict[str, Any]:
    run = _begin(recipe, wishes)
    futures: dict[str, PrefectFuture[None]] = {}
    try:
        end_crashed_flow_runs(run.ledger)
        for step in run.plan.steps:
            if step.action is not Action.later:
                node = step.node
                make = TASKS[node.kind].with_options(task_run_name=node.name)
                parents = [futures[parent] for parent in node.needs]
                futures[node.name] = make.submit(quote(run), node.name, wait_for=parents)  # pyright: ignore
        for future in futures.values():
            future.wait()
    except BaseException:
        run.stop.set()
        run.results.end("KILLED")
        run.ledger.end_run(run.run_id, states.INTERRUPTED, None)
        raise
    return finish_run(run, futures)


def send_logs() -> None:
    """Hand Prefect's server the lines that wait for their batch to fill."""
    for handler in logger.handlers:
        handler.flush()


def _make(run: PipelineRun, node: str) -> None:
    execution = run.make(node)
    get_run_logger().info("%s is %s %s", node, execution.name, execution.version)


def _begin(recipe: Recipe, wishes: Wishes) -> PipelineRun:
    logger.setLevel(logging.INFO)  # Prefect hands its lines on, but leaves its level at warnings
    start_fork_server(PRELOAD)
    home = open_home(home_path(os.environ, Path.cwd()))
    ledger = Ledger(home.ledger_path)
    plan = make_plan(recipe, home, ledger, wishes)
    settle_crashed_runs(home, ledger, plan)
    prepared = prepared_rows.get()
    if prepared is None:
        prepared = require_sound(plan, home)
    pid, started = this_process()
    run = PipelineRun(
        run_id=ledger.begin_run(recipe.name, recipe.model_dump(mode="json"), pid, started),
        plan=plan,
        force=wishes.force,
        home=home,
        ledger=ledger,
        view=current_view.get(),
        prepared=prepared,
        stop=stop_requested.get() or threading.Event(),
        override=wishes.override,
    )
    for step in plan.steps:
        if step.action is not Action.later:
            ledger.set_stage(run.run_id, step.node.name, step.node.kind, step.node.key, states.WAITING)
    run.results.begin(write_recipe(recipe))
    ledger.note_run_ids(run.run_id, flow_run.get_id(), run.results.mlflow_run_id)
    return run
