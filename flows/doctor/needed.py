"""Which model versions somebody needs, and why: the one rule behind `doctor` and `gc`.

Needed are those that an alias names, that a promotion went to or came from, that the newest runs of each recipe
used or made, and that a promotion of the pipeline or of one of its stages would take. What `gc` was told to let go
is noted in the ledger as a decision.
"""

from collections.abc import Iterable, Mapping

from flows.whole_runs import newest_model, newest_whole_run, trained_stages
from infra.ledger import Ledger
from infra.records import MOVES, Decision, Execution, Run

RELEASE = "release"
"""The kind of the decision to let a model version go."""

PROMOTION_LOCK = "promotion"
"""Held while it is decided who is champion, or that a model version goes."""

Version = tuple[str, int]


def model_executions(ledger: Ledger) -> dict[Version, Execution]:
    """What made each model version that still counts, oldest first.

    One that was registered again under another number, because MLflow had lost the first, is replaced by that.
    """
    newest: dict[tuple[str, str, str], Execution] = {}
    for execution in reversed(ledger.executions()):
        if execution.output == "model":
            newest[execution.name, execution.key, execution.fingerprint] = execution
    return {(each.name, each.version): each for each in newest.values()}


def current_version(ledger: Ledger, name: str, version: int) -> int:
    """The number under which a version is registered now."""
    made = [each for each in ledger.find_by_output(name, version) if each.output == "model"]
    if not made:
        return version
    equal = (each for each in ledger.find_by_key(made[0].key) if each.fingerprint == made[0].fingerprint)
    return next((each.version for each in equal if each.name == name), version)


def released(ledger: Ledger) -> set[Version]:
    """Versions that were let go and have not been made again since."""
    made = {(each.name, each.version): each.ended for each in reversed(ledger.executions())}
    return {
        (each.model, each.from_version)
        for each in ledger.decisions()
        if each.kind == RELEASE
        and each.from_version is not None
        and made.get((each.model, each.from_version), 0.0) <= each.made
    }


def let_go(ledger: Ledger) -> set[Version]:
    """Versions that may be gone: a run that used one since needs it again."""
    return released(ledger) - needed_models(ledger, {}, keep_last=1).keys()


def needed_models(
    ledger: Ledger, aliased: Mapping[Version, Iterable[str]], keep_last: int
) -> dict[Version, str]:
    """Versions that are needed, each with the reason. `aliased` are MLflow's aliases by version."""
    needed: dict[Version, str] = {}
    for run in newest_runs(ledger, keep_last):
        for version in _of_run(ledger, run):
            needed.setdefault(version, f"run {run.run_id} of {run.recipe} has it")
    for pipeline in {run.recipe for run in ledger.runs(limit=-1)}:
        for version in _candidates(ledger, pipeline):
            needed.setdefault(version, f"`burnish promote {pipeline}` may take it")
    for decision in promotions(ledger):
        for number in (decision.from_version, decision.to_version):
            if number is not None:
                version = (decision.model, current_version(ledger, decision.model, number))
                needed[version] = "a promotion names it"
    for version, aliases in aliased.items():
        if names := ", ".join(aliases):
            needed[version] = f"it is {names}"
    return needed


def promotions(ledger: Ledger) -> list[Decision]:
    """Decisions that made a version the champion, newest first."""
    return [each for each in ledger.decisions() if each.to_version is not None and each.kind in MOVES]


def newest_runs(ledger: Ledger, keep_last: int) -> list[Run]:
    """Of each recipe the newest runs, up to the one with which `keep_last` ended well; and the newest whole one."""
    by_recipe: dict[str, list[Run]] = {}
    done: dict[str, int] = {}
    for run in ledger.runs(limit=-1):
        if done.get(run.recipe, 0) < keep_last:
            by_recipe.setdefault(run.recipe, []).append(run)
            done[run.recipe] = done.get(run.recipe, 0) + (run.state == "done")
    for recipe, runs in by_recipe.items():
        whole = newest_whole_run(ledger, recipe)
        runs += [whole] if whole is not None and whole not in runs else []
    return [run for runs in by_recipe.values() for run in runs]


def _candidates(ledger: Ledger, pipeline: str) -> set[Version]:
    """What a promotion of the pipeline, or of one of its stages, takes."""
    whole = newest_whole_run(ledger, pipeline)
    stages = trained_stages(whole) if whole is not None else set[str]()
    models = filter(None, (newest_model(ledger, pipeline, stage) for stage in sorted(stages)))
    named = [model.rpartition("/") for model in models]
    return {(name, current_version(ledger, name, int(version))) for name, _, version in named}


def _of_run(ledger: Ledger, run: Run) -> set[Version]:
    """The models that a run used or made, and those it started from."""
    found: set[Version] = set()
    for stage in ledger.run_stages(run.run_id):
        for execution in ledger.find_by_key(stage.key):
            if execution.output == "model":
                found.add((execution.name, execution.version))
            found |= {
                (each.name, each.version) for each in execution.inputs if each.role in ("start", "base")
            }
    return {(name, current_version(ledger, name, version)) for name, version in found}
