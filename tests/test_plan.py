"""The plan: what a run will do with each stage and why."""

from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import DataError, NotFoundError, RecipeError
from flows.graph import make_nodes
from flows.nodes import adapter_base
from flows.plan import Action, Plan, Wishes, make_plan
from flows.recipe_files import check_recipe
from flows.stored import output_path
from infra.home import Home, open_home
from infra.ledger import Ledger
from tests.factories import SOURCES, finish, make_document, make_execution, make_recipe

RUN, REUSE, DEPENDS, LATER = Action.run, Action.reuse, Action.depends, Action.later


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger(home.ledger_path)


@pytest.fixture
def finished(home: Home, ledger: Ledger) -> Plan:
    """The small recipe with every stage done."""
    finish(make_plan(make_recipe(), home, ledger), home, ledger)
    return make_plan(make_recipe(), home, ledger)


def _actions(plan: Plan) -> dict[str, Action]:
    return {step.node.name: step.action for step in plan.steps}


def test_the_first_time_everything_runs(home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(), home, ledger)
    assert set(_actions(plan).values()) == {RUN}
    assert plan["base"].reason == "← first time"
    assert plan["dpo"].reason == "← first time"
    assert not plan.is_finished


def test_what_is_recorded_and_on_disk_is_reused(finished: Plan) -> None:
    assert set(_actions(finished).values()) == {REUSE}
    assert finished["dpo"].reason == "run run-1"
    assert finished.is_finished


def test_parents_come_before_their_children_whatever_the_recipes_order(home: Home, ledger: Ledger) -> None:
    document = make_document()
    document["stages"] = dict(reversed(document["stages"].items()))
    names = [step.node.name for step in make_plan(check_recipe(document, "test"), home, ledger).steps]
    assert names == ["worked", "problems", "base", "sft", "check", "preferences", "dpo"]


@pytest.mark.parametrize("stage", ["sft", "check"])
def test_a_stage_whose_output_is_gone_runs_again(
    stage: str, finished: Plan, home: Home, ledger: Ledger
) -> None:
    output = output_path(home, make_execution(finished[stage].node))
    (output / "model.safetensors" if output.is_dir() else output).unlink()
    plan = make_plan(make_recipe(), home, ledger)
    assert (plan[stage].action, plan[stage].reason) == (RUN, "← its output is gone")


def test_children_of_a_stage_that_runs_again_wait_for_its_content(
    finished: Plan, home: Home, ledger: Ledger
) -> None:
    output_path(home, make_execution(finished["check"].node)).unlink()
    plan = make_plan(make_recipe(), home, ledger)
    assert _actions(plan) == {
        "worked": REUSE,
        "problems": REUSE,
        "base": REUSE,
        "sft": REUSE,
        "check": RUN,
        "preferences": DEPENDS,
        "dpo": DEPENDS,
    }
    assert (
        plan["preferences"].reason
        == "← check rows change ← its output is gone; reused if that turns out identical"
    )


def test_a_changed_field_reruns_its_stage_and_says_which_field(
    finished: Plan, home: Home, ledger: Ledger
) -> None:
    plan = make_plan(make_recipe({"stages.dpo.beta": 4}), home, ledger)
    assert {name for name, action in _actions(plan).items() if action is not REUSE} == {"dpo"}
    assert plan["dpo"].reason == "← dpo.beta 5.0 → 4.0"


def test_a_changed_stage_reruns_what_is_below_and_nothing_above(
    finished: Plan, home: Home, ledger: Ledger
) -> None:
    plan = make_plan(make_recipe({"stages.check.samples": 8}), home, ledger)
    assert {name for name, action in _actions(plan).items() if action is RUN} == {
        "check",
        "preferences",
        "dpo",
    }
    assert plan["check"].reason == "← check.samples 4 → 8"
    assert plan["preferences"].reason == "← check rows change ← check.samples 4 → 8"
    assert plan["dpo"].reason == "← preferences rows change ← check rows change ← check.samples 4 → 8"


def test_a_stage_changed_itself_names_its_own_change_before_its_parents(
    finished: Plan, home: Home, ledger: Ledger
) -> None:
    plan = make_plan(make_recipe({"stages.check.samples": 8, "stages.dpo.beta": 4}), home, ledger)
    assert plan["dpo"].reason == "← dpo.beta 5.0 → 4.0 and 1 more"


def test_a_changed_edge_is_no_lost_output(finished: Plan, home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe({"stages.dpo.start": "base"}), home, ledger)
    assert (plan["dpo"].action, plan["dpo"].reason) == (RUN, "← dpo.start sft → base")


def test_another_seed_reruns_everything_and_says_so(finished: Plan, home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe({"seed": 8}), home, ledger)
    assert set(_actions(plan).values()) == {RUN}
    assert plan["base"].reason == "← base.seed 7 → 8"


def test_a_change_taken_back_is_reused_again(finished: Plan, home: Home, ledger: Ledger) -> None:
    finish(make_plan(make_recipe({"stages.dpo.beta": 4}), home, ledger), home, ledger, ["dpo"])
    assert make_plan(make_recipe(), home, ledger).is_finished


def test_a_forced_stage_runs_and_its_children_wait(finished: Plan, home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(), home, ledger, Wishes(frozenset({"preferences"})))
    assert (plan["preferences"].action, plan["preferences"].reason) == (RUN, "← forced")
    assert plan["dpo"].action is DEPENDS
    assert plan["check"].action is REUSE


def test_until_leaves_out_what_its_stage_does_not_need(home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(), home, ledger, Wishes(until="sft"))
    assert _actions(plan) == {
        "worked": RUN,
        "problems": LATER,
        "base": RUN,
        "sft": RUN,
        "check": LATER,
        "preferences": LATER,
        "dpo": LATER,
    }
    assert plan["dpo"].reason == "not needed for sft"


def test_a_plan_is_finished_when_all_before_until_is(home: Home, ledger: Ledger) -> None:
    finish(make_plan(make_recipe(), home, ledger), home, ledger, ["worked", "base", "sft"])
    assert make_plan(make_recipe(), home, ledger, Wishes(until="sft")).is_finished


@pytest.mark.parametrize("wishes", [Wishes(frozenset({"dop"})), Wishes(until="dop")])
def test_an_unknown_stage_on_the_command_line_is_refused(wishes: Wishes, home: Home, ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="There is no stage 'dop'"):
        make_plan(make_recipe(), home, ledger, wishes)


def test_a_stage_is_not_forced_in_a_run_that_does_not_need_it(home: Home, ledger: Ledger) -> None:
    with pytest.raises(RecipeError, match="dpo cannot be forced in a run until sft"):
        make_plan(make_recipe(), home, ledger, Wishes(frozenset({"dpo"}), "sft"))


def test_every_model_is_evaluated_against_all_models_it_came_from(home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe({"evaluate": {"rows": "problems"}}), home, ledger)
    assert plan["base.evaluate"].node.parents == ("base", "problems")
    assert plan["dpo.evaluate"].node.parents == ("dpo", "problems", "sft.evaluate", "base.evaluate")


@pytest.mark.parametrize(
    ("changes", "cycle"),
    [
        ({"stages.sft.start": "dpo"}, "sft -> dpo -> sft"),
        ({"stages.sft.start": "sft"}, "sft -> sft"),
        ({"datasets.loop": {"sql": "from loop", "rows": ["loop"]}}, "loop -> loop"),
    ],
)
def test_a_circle_is_refused_with_its_stages(changes: dict[str, Any], cycle: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_nodes(make_recipe(changes), SOURCES)
    assert f"circle: {cycle}" in str(caught.value)


@pytest.mark.parametrize("path", ["missing.jsonl", "."])
def test_a_data_file_that_is_none_is_refused(path: str, tmp_path: Path, home: Home, ledger: Ledger) -> None:
    with pytest.raises(DataError, match=r"does not exist|is not a file"):
        make_plan(make_recipe({"datasets.own": {"path": str(tmp_path / path)}}), home, ledger)


def test_a_changed_source_file_reruns_its_dataset_even_when_its_size_stays(
    tmp_path: Path, home: Home, ledger: Ledger
) -> None:
    source = tmp_path / "own.jsonl"
    source.write_text('{"prompt": "1+1", "completion": "2"}')
    recipe = make_recipe({"datasets.own": {"path": str(source)}})
    finish(make_plan(recipe, home, ledger), home, ledger)
    assert make_plan(recipe, home, ledger).is_finished
    source.write_text('{"prompt": "1+2", "completion": "3"}')
    step = make_plan(recipe, home, ledger)["own"]
    assert (step.action, step.reason) == (RUN, "← the file of own changed")


def test_the_weights_below_a_continued_adapter_are_those_it_began_on() -> None:
    continued = {"start_adapter": "continue"}
    again = make_document()["stages"]["dpo"] | {"start": "dpo", "lora": continued}
    recipe = make_recipe(
        {"stages.sft.lora": {}, "stages.dpo.lora": continued, "stages.again": again}
        | {"stages.anew": again | {"lora": {"start_adapter": "merge"}}}
    )
    nodes = {node.name: node for node in make_nodes(recipe, SOURCES)}
    found = {name: adapter_base(nodes, name) for name in ("sft", "dpo", "again", "anew")}
    assert found == {"sft": None, "dpo": "base", "again": "base", "anew": None}
