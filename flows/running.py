"""Run a recipe from Python, as the command line does.

    from flows.running import run_recipe

    summary = run_recipe("tiny", until="sft", overrides={"sft.steps": 100})
    again = run_recipe("tiny", force=["grpo"])

What is stored is reused. A run with nothing to do imports neither Prefect nor MLflow.
"""

import contextlib
import os
import threading
from collections.abc import Collection, Generator, Mapping
from contextvars import copy_context
from pathlib import Path
from typing import Any, Protocol

from data_contracts.errors import BurnishError, ServerError
from flows.crashed import settle_crashed_runs
from flows.gating import is_refused, require_passed
from flows.plan import Plan, Wishes, make_plan
from flows.recipe import Recipe
from flows.recipe_files import find_recipe, override_recipe, read_document
from flows.suites import GATE
from flows.summary import RunSummary, summarise
from flows.view import RunView, SilentView, current_view
from infra import records as states
from infra.environment import run_environment
from infra.home import Home, home_path, open_home
from infra.ledger import Ledger
from infra.process_identity import this_process
from infra.run_server import run_server
from infra.stage_processes import start_fork_server
from stages.child import PRELOAD

_PREFECT = {
    "PREFECT_CLIENT_MAX_RETRIES": "2",  # six seconds; five, its own, keep a run without a server for minutes
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",  # what does not reach a server is said once, by us
}


class Watcher(Protocol):
    """Whoever looks on while a recipe runs."""

    def on_wait(self, holder: str) -> None:
        """Somebody else runs this recipe in this home."""

    def on_plan(self, planned: Plan) -> None:
        """The plan is sound, and begins."""

    def on_finished(self, num_nodes: int) -> None:
        """There is nothing to run."""

    def watching(self, planned: Plan, stop: threading.Event) -> contextlib.AbstractContextManager[RunView]:
        """Around the run itself. Setting `stop` asks its stages to write a checkpoint and end."""
        ...


class NobodyWatches:
    """For programs."""

    def on_wait(self, holder: str) -> None: ...
    def on_plan(self, planned: Plan) -> None: ...
    def on_finished(self, num_nodes: int) -> None: ...

    @contextlib.contextmanager
    def watching(self, planned: Plan, stop: threading.Event) -> Generator[RunView]:  # noqa: ARG002
        yield SilentView()


def run_recipe(  # noqa: PLR0913 - one argument a wish
    recipe: str | Mapping[str, Any],
    *,
    force: Collection[str] = (),
    until: str | None = None,
    strict: bool = False,
    overrides: Mapping[str, Any] | None = None,
    override: str | None = None,
    home: Path | None = None,
) -> RunSummary:
    """Run a shipped recipe, a YAML file, or a recipe's document; returns what it came to.

    `overrides` are fields by dotted name, such as `{"dpo.beta": 4}`; `override` says why to go on where a gate
    refuses. Raises BurnishError: RecipeError, DataError or HomeError for what was given, PipelineError for stages
    that failed, GateRefused.
    """
    document = read_document(find_recipe(recipe)) if isinstance(recipe, str) else recipe
    wanted = override_recipe(document, overrides or {})
    opened = open_home((home or home_path(os.environ, Path.cwd())).expanduser().absolute())
    return run_here(opened, wanted, Wishes(frozenset(force), until, strict, override), NobodyWatches())


def run_here(home: Home, recipe: Recipe, wishes: Wishes, watcher: Watcher) -> RunSummary:
    """Run a recipe in this home, one run of a recipe's name at a time."""
    ledger = Ledger(home.ledger_path)
    with home.lock(f"recipe-{recipe.name}", holder=f"a run of {recipe.name}", on_wait=watcher.on_wait):
        planned = make_plan(recipe, home, ledger, wishes)
        summary = reuse_if_finished(home, ledger, planned)
        if summary is not None:
            for gate in planned.gates:
                require_passed(ledger, gate, wishes.override)
            watcher.on_finished(planned.num_reused)
            return summary
        return copy_context().run(
            _execute, home, planned, wishes, watcher
        )  # the next run has its own variables


def reuse_if_finished(home: Home, ledger: Ledger, planned: Plan) -> RunSummary | None:
    """A run with nothing to do: the ledger notes it, and neither MLflow nor Prefect is imported. None for others."""
    if not (planned.is_over and home.has_mlflow):
        return None
    settle_crashed_runs(home, ledger, planned)
    pid, started = this_process()
    run_id = ledger.begin_run(planned.recipe.name, planned.recipe.model_dump(mode="json"), pid, started)
    made = {step.node.name: step.execution for step in planned.steps if step.execution is not None}
    executions = {name: execution for name, execution in made.items() if name not in planned.held}
    for name, execution in executions.items():
        detail = f"{execution.name} v{execution.version} of run {execution.run_id}"
        ledger.set_stage(run_id, name, execution.kind, execution.key, states.REUSED, detail)
    refused = [gate for gate in executions.values() if gate.kind == GATE and is_refused(ledger, gate)]
    for gate in refused:
        ledger.set_stage(
            run_id, gate.stage, gate.kind, gate.key, states.REFUSED, gate.result[GATE]["sentence"]
        )
    for node in (step.node for step in planned.steps if step.node.name in planned.held):
        ledger.set_stage(run_id, node.name, node.kind, node.key, states.SKIPPED, "a gate refused")
    summary = summarise(planned, executions, run_id)
    ledger.end_run(run_id, states.REFUSED if refused else states.DONE, summary.model_dump(mode="json"))
    return summary


def _execute(home: Home, planned: Plan, wishes: Wishes, watcher: Watcher) -> RunSummary:
    recipe = planned.recipe
    with (
        _environment(_PREFECT | run_environment(home, os.environ, needs_hub=needs_hub(recipe))),
        contextlib.ExitStack() as stack,
    ):
        # Both import for seconds, beside the checks below.
        start_fork_server(PRELOAD)
        server = None
        given = os.environ.get("PREFECT_API_URL")
        if given is None:
            server = stack.enter_context(run_server(home))
        from flows.preflight import require_sound

        prepared = require_sound(planned, home)
        from flows.server_check import require_answer, require_mlflow

        require_mlflow(home)
        if given is not None:
            require_answer(given)
        watcher.on_plan(planned)
        if server is not None:
            os.environ["PREFECT_API_URL"] = server.api_url
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

        from flows.pipeline import prepared_rows, send_logs, stop_requested

        if server is not None:
            server.wait_until_it_answers()
        # Prefect reads the environment when it is imported, perhaps by a run before this one.
        joined: dict[Any, str | None] = {
            PREFECT_API_URL: os.environ["PREFECT_API_URL"],
            PREFECT_API_AUTH_STRING: os.environ.get("PREFECT_API_AUTH_STRING"),
        }
        stack.enter_context(temporary_settings(joined))
        stop = threading.Event()
        prepared_rows.set(prepared)
        stop_requested.set(stop)
        current_view.set(stack.enter_context(watcher.watching(planned, stop)))
        stack.callback(send_logs)  # before the server goes
        return _run_flow(Ledger(home.ledger_path), recipe, wishes)


def _run_flow(ledger: Ledger, recipe: Recipe, wishes: Wishes) -> RunSummary:
    """What the flow came to. Where Prefect's server went away meanwhile the ledger still knows."""
    from httpx import HTTPError

    from flows.pipeline import post_training

    newest = ledger.runs(recipe.name, limit=1)
    try:
        document: Any = post_training(
            recipe.model_dump(mode="json"),
            sorted(wishes.force),
            wishes.until,
            wishes.strict,
            override=wishes.override,
        )
    except BurnishError:
        raise
    except Exception as error:
        errors = list(_history(error))
        if not any(isinstance(each, HTTPError) for each in errors):
            raise
        lost = f"Prefect's server at {os.environ['PREFECT_API_URL']} stopped answering"
        for each in errors:
            if isinstance(each, BurnishError):  # how the run itself ended
                current_view.get().say(f"{lost}: its page does not show how this run ended.")
                raise each from None
        ended = ledger.runs(recipe.name, limit=1)
        if ended == newest or ended[0].state != states.DONE:
            raise ServerError(
                f"{lost} during the run.",
                "a server that answers until the run ends",
                "Finished stages are kept: the same command continues.",
            ) from error
        current_view.get().say(f"{lost}: its page does not show that this run is done.")
        document = ended[0].summary
    return RunSummary.model_validate(document)


def needs_hub(recipe: Recipe) -> bool:
    """Whether the recipe names a model or rows on the Hugging Face hub."""
    return recipe.base.model is not None or any(dataset.hub for dataset in recipe.datasets.values())


def _history(error: BaseException | None) -> Generator[BaseException]:
    """An error, and those during whose handling it was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def _environment(added: Mapping[str, str]) -> Generator[None]:
    """A run leaves its process's environment as it was: the next may be about another home."""
    before = dict(os.environ)
    os.environ.update(added)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
