"""Recipes that `burnish rerun` makes of a recipe: from a model, over seeds, just one stage."""

import time
from pathlib import Path

import pytest

from data_contracts.errors import NotFoundError, RecipeError
from flows.plan import Action, Wishes, make_plan
from flows.recipe import Recipe
from flows.recipe_files import check_recipe
from flows.rerun import changed_since, find_run_with, from_model, plan_only, seed_sweep
from infra import records as states
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.records import Decision, Run
from tests.factories import finish, make_document, make_recipe

EVALUATED = {"evaluate": {"rows": ["problems"], "samples": 2}}
_HELD = {"kind": "audit", "rows": ["problems"]}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger(home.ledger_path)


def noted_run(ledger: Ledger, recipe: Recipe) -> str:
    return ledger.begin_run(recipe.name, recipe.model_dump(mode="json", exclude_unset=True), 1, 1.0)


def promote(ledger: Ledger, model: str, version: int) -> None:
    ledger.decide(Decision(time.time(), "promote", model, None, version, "anna", "better", {}))


def planned_from(home: Home, ledger: Ledger, stage: str, model: str, wishes: Wishes | None = None):
    document = from_model(ledger, make_document(), stage, model)
    return make_plan(check_recipe(document, "test"), home, ledger, wishes)


# Which run's recipe


def test_the_newest_run_that_has_the_stage_is_taken(ledger: Ledger) -> None:
    first = noted_run(ledger, make_recipe({"name": "first"}))
    second = noted_run(ledger, make_recipe({"stages.extra": make_document()["stages"]["sft"]}))
    assert find_run_with(ledger, "dpo", None).run_id == second
    assert find_run_with(ledger, "dpo", first).run_id == find_run_with(ledger, "dpo", "first").run_id == first
    assert find_run_with(ledger, "extra", None).run_id == second


def test_an_evaluation_is_found_where_the_recipe_evaluates_that_model(ledger: Ledger) -> None:
    evaluated = noted_run(ledger, make_recipe(EVALUATED))
    noted_run(ledger, make_recipe())
    assert find_run_with(ledger, "dpo.evaluate", None).run_id == evaluated
    assert find_run_with(ledger, "base.evaluate", None).run_id == evaluated
    with pytest.raises(NotFoundError, match=r"'nosuch\.evaluate'"):
        find_run_with(ledger, "nosuch.evaluate", None)


def test_a_stage_that_is_nowhere_is_told_with_the_nearest(ledger: Ledger) -> None:
    run = noted_run(ledger, make_recipe())
    with pytest.raises(NotFoundError, match=r"(?s)No run here has a stage 'dop'.*Did you mean 'dpo'"):
        find_run_with(ledger, "dop", None)
    with pytest.raises(NotFoundError, match=f"Run {run} has no stage 'dop'"):
        find_run_with(ledger, "dop", run)
    with pytest.raises(NotFoundError, match="There is no run 'other'"):
        find_run_with(ledger, "dpo", "other")


def test_what_reruns_changed_is_told_against_the_run_of_everything_before(ledger: Ledger) -> None:
    def noted(changes: dict[str, object], stages: tuple[str, ...]) -> Run:
        run_id = noted_run(ledger, make_recipe(changes))
        for stage in stages:
            ledger.set_stage(run_id, stage, "sft", "key", states.DONE)
        return next(run for run in ledger.runs() if run.run_id == run_id)

    everything = tuple(make_document()["stages"])
    whole = noted({}, everything)
    again = noted({}, everything)
    noted({"stages.dpo.beta": 4}, ("dpo",))
    last = noted({"stages.dpo.beta": 4, "seed": 9}, ("dpo",))
    assert changed_since(ledger, whole, "dpo") is changed_since(ledger, again, "dpo") is None
    found = changed_since(ledger, last, "dpo")
    assert found is not None and found[0].run_id == again.run_id
    assert {each.field: (each.before, each.after) for each in found[1]} == {
        "dpo.beta": (None, 4.0),
        "seed": (7, 9),
    }


# From a model


@pytest.mark.parametrize("reference", ["small.sft/1", "models:/small.sft/1", "small.sft@champion"])
def test_a_stage_starts_from_a_registered_version(reference: str, home: Home, ledger: Ledger) -> None:
    finish(make_plan(make_recipe(), home, ledger), home, ledger)
    promote(ledger, "small.sft", 1)
    plan = planned_from(home, ledger, "dpo", reference)
    assert plan["dpo"].node.start == "small.sft.v1"
    assert plan["small.sft.v1"].action is plan["preferences"].action is Action.reuse
    assert plan["dpo"].reason == "run run-1, the same content goes in", "it is what sft made"


def test_another_model_is_another_start(home: Home, ledger: Ledger) -> None:
    finish(make_plan(make_recipe(), home, ledger), home, ledger)
    plan = planned_from(home, ledger, "check", "small.dpo/1")
    assert plan["check"].reason == "← check.start sft → small.dpo.v1"
    assert plan["dpo"].action is Action.run, "its pairs come from check"
    assert plan["sft"].action is Action.reuse


def test_the_champion_is_the_version_promoted_last(ledger: Ledger) -> None:
    for version in (3, 1, 2):
        promote(ledger, "small.sft", version)
    promote(ledger, "small.dpo", 9)
    document = from_model(ledger, make_document(), "dpo", "small.sft@champion")
    assert document["stages"]["dpo"]["start"] == "models:/small.sft/2"


def test_the_recipe_given_stays_as_it_is(home: Home, ledger: Ledger) -> None:
    finish(make_plan(make_recipe(), home, ledger), home, ledger)
    document = make_document()
    from_model(ledger, document, "dpo", "small.sft/1")
    assert document == make_document()


def test_a_stage_from_a_registered_model_needs_the_base_too(home: Home, ledger: Ledger) -> None:
    """Its chat template is what the start is held to."""
    finish(make_plan(make_recipe(), home, ledger), home, ledger)
    plan = planned_from(home, ledger, "sft", "small.dpo/1", Wishes(until="sft"))
    assert {step.node.name for step in plan.steps if step.action is not Action.later} == {
        *("worked", "base", "small.dpo.v1", "sft")
    }
    changed = make_document(base={"model": "somebody/model", "revision": "1" * 40})
    other = make_plan(check_recipe(from_model(ledger, changed, "sft", "small.dpo/1"), "test"), home, ledger)
    assert "base" in {cause.node for cause in other["sft"].causes}


@pytest.mark.parametrize(
    ("stage", "model", "fault"),
    [
        ("dpo", "small.sft", "names no version"),
        ("dpo", "small.sft@other", "names no version"),
        ("dpo", "small.dpo@champion", "has no champion"),
        (
            "dpo",
            "small.sft/9",
            "There is no model small.sft/9 in this home.\nExpected: one of small.sft/1\n`burn",
        ),
        ("dpo", "small.worked/1", "is a dataset version"),
        ("preferences", "small.sft/1", "preferences starts from no model.\nExpected: one of sft, check, dpo"),
        ("worked", "small.sft/1", "worked starts from no model"),
    ],
)
def test_what_no_stage_can_start_from_is_refused(
    stage: str, model: str, fault: str, home: Home, ledger: Ledger
) -> None:
    finish(make_plan(make_recipe(), home, ledger), home, ledger)
    with pytest.raises((RecipeError, NotFoundError), match=fault):
        planned_from(home, ledger, stage, model)


def test_a_version_whose_weights_are_gone_is_told(home: Home, ledger: Ledger) -> None:
    made = finish(make_plan(make_recipe(), home, ledger), home, ledger)["sft"]
    (home.models_dir / made.fingerprint / "model.safetensors").unlink()
    with pytest.raises(NotFoundError, match=r"weights of small\.sft/1 are gone"):
        planned_from(home, ledger, "dpo", "small.sft/1")


# Over seeds


def test_a_sweep_keeps_the_stage_that_makes_the_evaluations_rows(ledger: Ledger) -> None:
    recipe = make_recipe({"evaluate": {"rows": ["held"], "samples": 2}, "stages.held": dict(_HELD)})
    swept, branches = seed_sweep(ledger, recipe, "sft", 2)
    assert set(swept.stages) == {*branches, "held"}


def test_a_sweep_differs_in_the_seed_alone_and_reuses_the_stages_own(home: Home, ledger: Ledger) -> None:
    recipe = make_recipe(EVALUATED)
    finish(make_plan(recipe, home, ledger), home, ledger)
    swept, branches = seed_sweep(ledger, recipe, "dpo", 3)
    assert branches == ["dpo_seed_7", "dpo_seed_8", "dpo_seed_9"]
    plan = make_plan(swept, home, ledger)
    identities = [plan[branch].node.identity for branch in branches]
    assert [identity["seed"] for identity in identities] == [7, 8, 9]
    assert all(identity | {"seed": 7} == identities[0] for identity in identities)
    assert plan["dpo_seed_7"].action is plan["dpo_seed_7.evaluate"].action is Action.reuse
    running = {step.node.name for step in plan.steps if step.action is Action.run}
    assert running == {"dpo_seed_8", "dpo_seed_9", "dpo_seed_8.evaluate", "dpo_seed_9.evaluate"}


def test_a_sweep_leaves_out_what_hangs_on_the_stage_and_what_no_branch_needs(ledger: Ledger) -> None:
    swept, branches = seed_sweep(ledger, make_recipe({"stages.sft.seed": 20}), "sft", 2)
    assert branches == ["sft_seed_20", "sft_seed_21"]
    assert set(swept.stages) == set(branches)


@pytest.mark.parametrize("stage", ["check", "preferences", "worked", "base", "nosuch", "dpo.evaluate"])
def test_only_a_stage_that_trains_is_swept(stage: str, ledger: Ledger) -> None:
    with pytest.raises(RecipeError, match="one of sft, dpo"):
        seed_sweep(ledger, make_recipe(EVALUATED), stage, 2)


# Only one stage


def test_only_runs_the_stage_and_nothing_above_or_below(home: Home, ledger: Ledger) -> None:
    recipe = make_recipe()
    finish(make_plan(recipe, home, ledger), home, ledger)
    plan = make_plan(recipe, home, ledger, plan_only(recipe, home, ledger, "preferences", strict=False))
    assert {step.node.name: step.action for step in plan.steps if step.action is not Action.reuse} == {
        "preferences": Action.run,
        "dpo": Action.later,
    }


def test_only_is_refused_where_something_above_would_run(home: Home, ledger: Ledger) -> None:
    finish(make_plan(make_recipe(), home, ledger), home, ledger)
    changed = make_recipe({"stages.sft.steps": 3})
    with pytest.raises(RecipeError, match=r"--only check: sft would have to run .*sft\.steps 2 → 3"):
        plan_only(changed, home, ledger, "check", strict=False)
