"""Run one stage again: from a recipe or a past run, from another model, over several seeds.

Each is a recipe of its own, made from the one given: what ran is what the ledger records.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from data_contracts.errors import NotFoundError, RecipeError
from data_contracts.gates import CHAMPION
from data_contracts.stage_configs import MODEL_KINDS
from flows.graph import make_nodes
from flows.nodes import BASE, evaluation_name, needed_for
from flows.past_runs import find_run
from flows.plan import Action, Plan, Wishes, make_plan
from flows.promoting.decisions import standing
from flows.recipe import Recipe, is_registered, nearest, registered_version
from flows.recipe_files import check_recipe
from flows.remembered import remembered_sources
from flows.run_diff import FieldDifference, recipe_differences
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Run


def find_run_with(ledger: Ledger, stage: str, run_id: str | None) -> Run:
    """The run that `run_id` names, else the newest whose recipe has the stage. Raises NotFoundError."""
    runs = [find_run(ledger, run_id)] if run_id is not None else ledger.runs(limit=1000)
    found = [run for run in runs if has_stage(run.document, stage)]
    if found:
        return found[0]
    stages = sorted({name for run in runs[:20] for name in run.document["stages"]})
    raise NotFoundError(
        f"No run here has a stage {stage!r}." if run_id is None else f"Run {run_id} has no stage {stage!r}.",
        f"one of {', '.join(stages)}" if stages else "a run in this home",
        f"{nearest(stage, stages)}`burnish runs` lists the runs; --recipe names a recipe that never ran.",
    )


def changed_since(ledger: Ledger, run: Run, stage: str) -> tuple[Run, list[FieldDifference]] | None:
    """What the run's recipe has otherwise than the one with this stage that ran whole before it; None for no such run.

    Recipes of reruns build on each other: who reruns a stage should see what was asked for the time before.
    """
    earlier = iter(ledger.runs(run.recipe, limit=1000))
    for other in earlier:
        if other.run_id == run.run_id:
            break
    for other in earlier:
        ran = {stage.stage for stage in ledger.run_stages(other.run_id)}
        is_whole = has_stage(other.document, stage) and ran.issuperset(other.document["stages"])
        if is_whole and other.document != run.document:
            return other, recipe_differences(other.document, run.document)
    return None


def has_stage(document: Mapping[str, Any], stage: str) -> bool:
    """Whether a recipe's document has this stage, dataset or evaluation, or names its base."""
    model = stage.removesuffix(evaluation_name(""))
    if model != stage:
        return bool(document.get("evaluate")) and (model == BASE or model in document["stages"])
    return stage in document["stages"] or stage in document["datasets"] or stage == BASE


def from_model(ledger: Ledger, document: Mapping[str, Any], stage: str, model: str) -> dict[str, Any]:
    """The recipe whose `stage` starts from a registered version: `tiny.dpo/3`, or `tiny.dpo@champion`."""
    reference = f"models:/{model.removeprefix('models:/')}"
    if reference.endswith(f"@{CHAMPION}"):
        reference = _champion(ledger, reference.removesuffix(f"@{CHAMPION}"))
    elif is_registered(reference):
        _require_made(ledger, *registered_version(reference))
    else:
        raise RecipeError(
            f"--from-model {model!r} names no version.",
            "NAME/VERSION such as models:/tiny.dpo/3, or NAME@champion",
            "`burnish models` lists them.",
        )
    changed = deepcopy(dict(document))
    if "start" not in changed["stages"].get(stage, {}):
        startable = [name for name, config in changed["stages"].items() if "start" in config]
        raise RecipeError(f"{stage} starts from no model.", f"one of {', '.join(startable)}")
    changed["stages"][stage]["start"] = reference
    return changed


def seed_sweep(ledger: Ledger, recipe: Recipe, stage: str, count: int) -> tuple[Recipe, list[str]]:
    """The recipe with `count` branches of a stage that differ in nothing but the seed, and their names.

    The first has the stage's own seed, so what ran already is reused. Stages that no branch needs are left out.
    """
    if stage not in recipe.stages or recipe.stages[stage].kind not in MODEL_KINDS:
        raise RecipeError(
            f"A sweep over seeds needs a stage that trains; {stage} does not.",
            f"one of {', '.join(name for name, each in recipe.stages.items() if each.kind in MODEL_KINDS)}",
        )
    document = recipe.model_dump(mode="json", exclude_unset=True)
    swept = document["stages"][stage]
    first = swept.get("seed")
    first = recipe.seed if first is None else first
    branches = {f"{stage}_seed_{seed}": {**swept, "seed": seed} for seed in range(first, first + count)}
    nodes = {node.name: node for node in make_nodes(recipe, remembered_sources(ledger))}
    read = recipe.evaluate.rows if recipe.evaluate else ()
    kept = set[str]().union(*(needed_for(nodes, name) for name in (stage, *read))) - {stage}
    stages = {name: each for name, each in document["stages"].items() if name in kept}
    return check_recipe({**document, "stages": stages | branches}, f"The sweep of {stage}"), list(branches)


def require_only(plan: Plan, stage: str) -> None:
    """Raise RecipeError where something above the stage would have to run too."""
    above = [
        step for step in plan.steps if step.node.name != stage and step.action in (Action.run, Action.depends)
    ]
    if above:
        raise RecipeError(
            f"--only {stage}: {above[0].node.name} would have to run before it ({above[0].reason}).",
            "stored results of everything above it",
            "Leave --only out, and what is missing runs too.",
        )


def plan_only(recipe: Recipe, home: Home, ledger: Ledger, stage: str, *, strict: bool) -> Wishes:
    """What `--only` asks: this stage, nothing above and nothing below. Raises RecipeError."""
    wishes = Wishes(frozenset({stage}), stage, strict)
    require_only(make_plan(recipe, home, ledger, wishes), stage)
    return wishes


def _require_made(ledger: Ledger, name: str, version: int) -> None:
    """Raises NotFoundError for a version that was never made here."""
    if ledger.find_by_output(name, version):
        return
    made = sorted({(each.name, each.version) for each in ledger.executions() if each.output == "model"})
    versions = [f"{known}/{number}" for known, number in made if known == name]
    names = sorted({known for known, _ in made})
    raise NotFoundError(
        f"There is no model {name}/{version} in this home.",
        f"one of {', '.join(versions or names)}" if made else "a registered model",
        f"{'' if versions else nearest(name, names)}`burnish models` lists them.",
    )


def _champion(ledger: Ledger, model: str) -> str:
    """From the ledger: the registry's alias is a projection of it."""
    name = model.removeprefix("models:/")
    champion = standing(ledger, name).champion
    if champion is None:
        raise NotFoundError(
            f"{name} has no champion.", "a promoted version", f"`burnish promote {name}` makes one."
        )
    return f"models:/{name}/{champion}"
