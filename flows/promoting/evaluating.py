"""Verdicts that a promotion needs and nobody has made yet."""

from typing import Any

from data_contracts.errors import NotFoundError
from data_contracts.gates import CHAMPION
from flows.doctor.needed import current_version
from flows.promoting.behind import recipe_behind
from flows.promoting.decisions import CANDIDATE
from flows.running import run_recipe
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution

_NAME_LENGTH = 38
"""Of the recipe's, so that `_promotion` fits behind it."""


def evaluate_missing(home: Home, ledger: Ledger, candidate: Execution, baseline: Execution | None) -> None:
    """Run the evaluation of the candidate's recipe on both; verdicts that are stored are reused.

    Raises NotFoundError when that recipe has no evaluation, or its rows were never made; and what a run raises.
    """
    recipe = promotion_recipe(ledger, candidate, baseline)
    run_recipe(recipe, home=home.path)


def promotion_recipe(ledger: Ledger, candidate: Execution, baseline: Execution | None) -> dict[str, Any]:
    """A recipe of nothing but verify stages over the suite of the run that made the candidate."""
    document = recipe_behind(ledger, candidate)
    evaluate = document.get("evaluate")
    if evaluate is None:
        raise NotFoundError(
            f"The recipe of {candidate.name}/{candidate.version} has no evaluate section, so nothing says how it "
            "is compared.",
            "evaluate: {rows: [HELD_OUT], samples: 4} in the recipe",
            f"Add it and run {candidate.pipeline} again: stages that are finished are reused.",
        )
    judged = {CANDIDATE: candidate} | ({CHAMPION: baseline} if baseline else {})
    stages = {
        name: {"kind": "verify", "start": f"models:/{model.name}/{model.version}", **evaluate}
        for name, model in judged.items()
    }
    kept = {name: document[name] for name in ("seed", "datasets", "verifiers", "run") if name in document}
    used = _with_sources(kept["datasets"], evaluate["rows"])
    kept["datasets"] = {name: each for name, each in kept["datasets"].items() if name in used}
    for name in [name for name in evaluate["rows"] if name not in document["datasets"]]:
        kept["datasets"][name] = {"version": _rows_of(ledger, candidate, name)}
    base = {"version": _base_of(ledger, candidate)}
    return {"name": promotion_pipeline(candidate.pipeline), "base": base, **kept, "stages": stages}


def _base_of(ledger: Ledger, model: Execution) -> str:
    """The version whose chat template a model was held to; a base has its own."""
    given = next((each for each in model.inputs if each.role == "base"), None)
    name, version = (model.name, model.version) if given is None else (given.name, given.version)
    return f"models:/{name}/{current_version(ledger, name, version)}"


def _rows_of(ledger: Ledger, candidate: Execution, stage: str) -> str:
    """The newest rows of a stage that the evaluation reads: to make them again could mean to train again."""
    made = ledger.find_by_stage(candidate.pipeline, stage, limit=1)
    if not made:
        raise NotFoundError(
            f"{candidate.name}/{candidate.version} is evaluated on the rows of the stage {stage}, which never ran.",
            "rows to evaluate on",
            f"`burnish run {candidate.pipeline} --until {stage}` makes them.",
        )
    return f"{made[0].name}@{made[0].version}"


def promotion_pipeline(pipeline: str) -> str:
    """The recipe's name under which the models of a pipeline are evaluated for promotion."""
    return f"{pipeline[:_NAME_LENGTH]}_promotion"


def _with_sources(datasets: dict[str, Any], names: Any) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in datasets and name not in found:
            found.add(name)
            waiting.extend(datasets[name].get("rows", ()))
    return found
