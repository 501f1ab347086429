"""Why a plan runs what it runs: the change itself, and the way it came."""

import platform
import shutil
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from data_contracts.errors import RecipeError
from flows import remembered
from flows.accepting import accept_code
from flows.causes import shown
from flows.code_identity import SourceFile
from flows.plan import Action, Plan, Wishes, make_plan
from flows.plan_diff import differences
from flows.plan_view import plan_document, plan_sentences, plan_table
from flows.stored import output_path
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.records import SINCE, Input
from stages.verifiers.shipped import SHIPPED
from tests.factories import finish, make_execution, make_recipe, read_source_once

GRPO = {"stages.grpo": {"kind": "grpo", "start": "dpo", "rows": "problems", "steps": 2, "rewards": "problem"}}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger(home.ledger_path)


@pytest.fixture
def finished(home: Home, ledger: Ledger) -> Plan:
    """The small recipe with grpo, every stage done by verifier exact_number on host and libraries of this plan."""
    plan = make_plan(make_recipe(GRPO), home, ledger)
    result = {"metrics": {}, "notes": [], "verifiers": ["exact_number"], "judged_by": ["exact_number"]}
    finish(plan, home, ledger, result=result)
    return make_plan(make_recipe(GRPO), home, ledger)


@pytest.fixture
def change_source(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the logic of one project module other than it is."""

    def change(module: str, digest: str = "changed") -> None:
        ending = module.replace(".", "/") + ".py"

        def read(path: Path) -> SourceFile:
            source = read_source_once(path)
            return replace(source, digest=digest) if path.as_posix().endswith(ending) else source

        monkeypatch.setattr(remembered, "remembered_source", lambda ledger, path: read(path))

    return change


def running(plan: Plan) -> dict[str, str]:
    return {step.node.name: step.reason for step in plan.steps if step.action is Action.run}


def test_a_cause_is_told_with_the_way_it_came(finished: Plan, home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(GRPO | {"stages.dpo.beta": 4}), home, ledger)
    assert running(plan) == {
        "dpo": "← dpo.beta 5.0 → 4.0",
        "grpo": "← dpo weights change ← dpo.beta 5.0 → 4.0",
    }


def test_a_cause_with_two_ways_is_told_once_by_the_shorter(
    finished: Plan, home: Home, ledger: Ledger
) -> None:
    plan = make_plan(make_recipe(GRPO | {"stages.sft.steps": 3}), home, ledger)
    assert plan["dpo"].reason == "← sft weights change ← sft.steps 2 → 3"
    assert plan_document(plan)["nodes"][-2]["causes"] == [
        {"node": "sft", "change": "sft.steps 2 → 3", "through": ["sft weights"]}
    ]


def test_fields_inside_a_field_are_named(finished: Plan, home: Home, ledger: Ledger) -> None:
    weighed = {"stages.grpo": GRPO["stages.grpo"] | {"rewards": {"problem": 2}}}
    plan = make_plan(make_recipe(weighed), home, ledger)
    assert running(plan) == {"grpo": "← grpo.rewards.problem.weight 1.0 → 2.0"}


def test_a_field_with_fields_is_told_as_a_recipe_says_it() -> None:
    assert shown({"improve_by": None, "not_worse_by": 0.1}) == "{not_worse_by: 0.1}"
    assert (shown(None), shown(0.5)) == ("none", "0.5")


def test_a_start_or_rows_that_lead_elsewhere_are_named(finished: Plan, home: Home, ledger: Ledger) -> None:
    moved = make_plan(make_recipe(GRPO | {"stages.dpo.start": "base"}), home, ledger)
    weighed = make_plan(make_recipe(GRPO | {"stages.dpo.rows": {"preferences": 0.5}}), home, ledger)
    assert moved["dpo"].reason == "← dpo.start sft → base"
    assert weighed["dpo"].reason == "← dpo.rows [preferences] → [preferences: 0.5]"


def test_code_is_named_by_its_file_and_reaches_only_what_it_makes(
    finished: Plan, home: Home, ledger: Ledger, change_source: Callable[..., None]
) -> None:
    change_source("stages.dpo")
    assert running(make_plan(make_recipe(GRPO), home, ledger)) == {
        "dpo": "← code changed: stages.dpo",
        "grpo": "← dpo weights change ← code changed: stages.dpo",
    }


def test_a_changed_verifier_reaches_what_it_judged(
    finished: Plan, home: Home, ledger: Ledger, change_source: Callable[..., None]
) -> None:
    change_source("stages.verifiers.exact_number")
    plan = make_plan(make_recipe(GRPO), home, ledger)
    assert plan["check"].reason == "← verifier exact_number changed (code)"
    assert set(running(plan)) == {"check", "preferences", "dpo", "grpo"}


@pytest.mark.parametrize("name", sorted(SHIPPED.keys() - {"exact_number", "composite"}))
def test_a_verifier_that_judged_nothing_changes_nothing(
    name: str, finished: Plan, home: Home, ledger: Ledger, change_source: Callable[..., None]
) -> None:
    change_source(SHIPPED[name].partition(":")[0])
    plan = make_plan(make_recipe(GRPO), home, ledger)
    assert running(plan) == {}
    assert plan["check"].reason == "run run-1, the same content goes in"
    assert plan.is_finished


def test_rows_added_and_removed_are_counted_where_versions_follow_each_other(
    home: Home, ledger: Ledger
) -> None:
    since = {"version": 3, "added": 12, "removed": 3, "changed": 0}
    for number, result in ((3, {}), (4, {SINCE: since}), (6, {SINCE: {**since, "version": 5}})):
        plan = make_plan(make_recipe(), home, ledger)
        imported = make_execution(plan["worked"].node, pipeline="data", fingerprint=f"rows {number}")
        ledger.record(replace(imported, name="math", version=number, stage="math", result=result))

    def planned(version: str) -> Plan:
        recipe = {"datasets.own": {"version": version}, "stages.sft.rows": ["own"]}
        return make_plan(make_recipe(recipe), home, ledger)

    before = planned("math@3")
    finish(before, home, ledger)
    made = ledger.find_by_stage("small", "own")[0]
    ledger.record(replace(made, inputs=(Input("math@3", "rows", "math", 3, "rows 3", 1.0),)))
    assert planned("math@4")["own"].reason == "← rows: math@3 → math@4: 12 added, 3 removed"
    assert planned("math@6")["own"].reason == "← rows: math@3 → math@6"


def test_code_that_several_stages_share_is_one_cause(
    finished: Plan, home: Home, ledger: Ledger, change_source: Callable[..., None]
) -> None:
    change_source("stages.training")
    found = running(make_plan(make_recipe(GRPO), home, ledger))
    assert found["sft"] == found["dpo"] == found["grpo"] == "← code changed: stages.training"
    assert found["check"] == "← sft weights change ← code changed: stages.training"


def test_the_recipes_seed_is_one_cause_beside_others(finished: Plan, home: Home, ledger: Ledger) -> None:
    found = running(make_plan(make_recipe(GRPO | {"seed": 8}), home, ledger))
    assert found["sft"] == "← sft.seed 7 → 8"
    both = running(make_plan(make_recipe(GRPO | {"seed": 8, "stages.sft.steps": 3}), home, ledger))
    assert both["sft"] == "← sft.steps 2 → 3 and 1 more"
    assert both["grpo"] == "← grpo.seed 7 → 8 and 1 more"


def test_a_change_taken_back_is_no_cause_of_another(finished: Plan, home: Home, ledger: Ledger) -> None:
    """Held against the newest execution, beta would seem to change too; against the one before, it does not."""
    finish(make_plan(make_recipe(GRPO | {"stages.dpo.beta": 4}), home, ledger), home, ledger)
    plan = make_plan(make_recipe(GRPO | {"stages.dpo.seed": 8}), home, ledger)
    assert running(plan) == {
        "dpo": "← dpo.seed 7 → 8",
        "grpo": "← dpo weights change ← dpo.seed 7 → 8",
    }


@pytest.mark.parametrize("back", [{}, {"stages.dpo.beta": 4}])
def test_what_is_below_a_change_that_ran_already_names_it(
    back: dict[str, object], finished: Plan, home: Home, ledger: Ledger
) -> None:
    """A run that ended after dpo leaves grpo to a later one."""
    finish(make_plan(make_recipe(GRPO | back), home, ledger), home, ledger)
    changed = make_recipe(GRPO | {"stages.sft.steps": 3})
    ended = make_plan(changed, home, ledger, Wishes(until="dpo"))
    finish(ended, home, ledger, {step.node.name for step in ended.steps if step.action is not Action.later})
    plan = make_plan(changed, home, ledger)
    assert plan["dpo"].action is Action.reuse
    assert running(plan) == {"grpo": "← dpo weights change ← sft weights change ← sft.steps 2 → 3"}


def test_a_stage_whose_output_is_gone_says_so_whatever_ran_since(
    finished: Plan, home: Home, ledger: Ledger
) -> None:
    kept = finished["dpo"].execution
    assert kept is not None
    for beta in (1, 2, 3, 4):
        finish(make_plan(make_recipe(GRPO | {"stages.dpo.beta": beta}), home, ledger), home, ledger)
    shutil.rmtree(output_path(home, kept))
    assert make_plan(make_recipe(GRPO), home, ledger)["dpo"].reason == "← its output is gone"


def test_a_forced_stage_tells_its_changes_first(finished: Plan, home: Home, ledger: Ledger) -> None:
    forced = Wishes(frozenset({"dpo"}))
    plan = make_plan(make_recipe(GRPO | {"stages.dpo.beta": 4}), home, ledger, forced)
    assert [cause.change for cause in plan["dpo"].causes] == ["dpo.beta 5.0 → 4.0", "forced"]


def test_evaluations_name_the_section_that_changed_once(home: Home, ledger: Ledger) -> None:
    evaluated = GRPO | {"evaluate": {"rows": ["problems"], "samples": 2}}
    finish(make_plan(make_recipe(evaluated), home, ledger), home, ledger)
    plan = make_plan(make_recipe(evaluated | {"evaluate.samples": 3}), home, ledger)
    assert running(plan) == {
        f"{model}.evaluate": "← evaluate.samples 2 → 3" for model in ("base", "sft", "dpo", "grpo")
    }


def test_an_evaluation_runs_because_of_its_model_before_those_it_is_compared_with(
    home: Home, ledger: Ledger
) -> None:
    evaluated = GRPO | {"evaluate": {"rows": ["problems"], "samples": 2}}
    finish(make_plan(make_recipe(evaluated), home, ledger), home, ledger)
    plan = make_plan(make_recipe(evaluated | {"stages.sft.steps": 3}), home, ledger)
    assert plan["grpo.evaluate"].causes[0].through[0] == "grpo weights"
    moved = {"stages.grpo": {**GRPO["stages.grpo"], "start": "sft"}}
    other = make_plan(make_recipe(evaluated | moved), home, ledger)
    assert other["grpo.evaluate"].reason == "← grpo weights change ← grpo.start dpo → sft"


def test_two_forced_stages_are_two_causes(finished: Plan, home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(GRPO), home, ledger, Wishes(frozenset({"sft", "preferences"})))
    assert [str(cause) for cause in plan["dpo"].causes] == [
        "sft weights change ← forced",
        "preferences rows change ← forced",
    ]


def test_a_long_way_is_told_by_its_ends(finished: Plan, home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(GRPO | {"stages.check.samples": 8}), home, ledger)
    assert plan["dpo"].reason == "← preferences rows change ← check rows change ← check.samples 4 → 8"
    assert plan["grpo"].reason == "← dpo weights change ← … ← check.samples 4 → 8"
    (cause,) = plan["grpo"].causes
    assert cause.through == ("dpo weights", "preferences rows", "check rows")


def test_a_file_of_the_base_is_named(tmp_path: Path, home: Home, ledger: Ledger) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "chat_template.jinja", "model.safetensors"):
        (model / name).write_text(name)

    def planned(path: Path) -> Plan:
        return make_plan(make_recipe({"base": {"path": str(path)}}), home, ledger)

    finish(planned(model), home, ledger)
    assert running(planned(model.rename(tmp_path / "moved"))) == {}
    (tmp_path / "moved" / "chat_template.jinja").write_text("chat_template.jinja ")
    assert planned(tmp_path / "moved")["base"].reason == "← chat_template.jinja of base changed"


@pytest.mark.parametrize("width", [40, 80])
def test_every_reason_can_be_read_on_a_narrow_terminal(
    width: int, finished: Plan, home: Home, ledger: Ledger
) -> None:
    plan = make_plan(make_recipe(GRPO | {"stages.dpo.beta": 4}), home, ledger)
    console = Console(width=width, record=True, file=StringIO())
    console.print(plan_table(plan, width))
    lines = console.export_text().splitlines()
    assert all(len(line) <= width for line in lines)
    shown = "".join(character for line in lines for character in line if character not in " │─")
    for step in plan.steps:
        for word in step.reason.split():
            assert word in shown or width < 80, word
    assert "←dpo.beta5.0→4.0" in shown or "←dpo.beta" in shown


# Drift


def test_other_libraries_are_shown_and_rerun_on_request(home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(), home, ledger)
    finish(plan, home, ledger, environment={"torch": "1.0", "host": "another"})
    shown = make_plan(make_recipe(), home, ledger)
    strict = make_plan(make_recipe(), home, ledger, Wishes(strict=True))
    assert running(shown) == {}
    assert [text for text in plan_sentences(shown, 0) if text.startswith("Drift: torch 1.0 → ")]
    assert strict["sft"].reason.startswith("← torch 1.0 → ")
    assert set(running(strict)) == {step.node.name for step in strict.steps}


# Estimates


def test_time_is_estimated_by_the_step_from_runs_on_this_machine(home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(), home, ledger)
    host = {"host": platform.node()}
    for seconds in (8.0, 4.0, 6.0):
        finish(plan, home, ledger, seconds=seconds, environment=host)
    ledger.record(make_execution(plan["sft"].node, seconds=1000.0, environment={"host": "another"}))
    found = make_plan(make_recipe({"stages.sft.steps": 3}), home, ledger)
    assert (found["sft"].seconds, found["check"].seconds) == (9.0, 6.0)  # sft: 6 s for 2 steps, now 3


# Against a run that was


def test_a_plan_is_compared_with_a_run(finished: Plan, home: Home, ledger: Ledger) -> None:
    run_id = ledger.begin_run("small", {}, 1, 1.0)
    for step in finished.steps:
        if step.node.name != "preferences":
            ledger.set_stage(run_id, step.node.name, step.node.kind, step.node.key, "done")
    (run,) = ledger.runs()
    plan = make_plan(make_recipe(GRPO | {"stages.dpo.beta": 4, "stages.sft2": SFT}), home, ledger)
    found = {each.name: (each.state, each.changes) for each in differences(plan, ledger, run)}
    assert found["sft"] == ("same", ())
    assert found["dpo"] == ("changed", ("dpo.beta 5.0 → 4.0",))
    assert found["grpo"] == ("inherited", ())
    assert found["sft2"] == found["preferences"] == ("added", ())


SFT = {"kind": "sft", "start": "base", "rows": ["worked"], "steps": 2, "global_batch": 8}


# Accepting a change of code


def test_accepted_code_keeps_every_result_until_it_is_taken_back(
    finished: Plan, home: Home, ledger: Ledger, change_source: Callable[..., None]
) -> None:
    change_source("stages.dpo")
    (told,) = accept_code(home, ledger, make_recipe(GRPO), "dpo", "renamed a variable", withdraw=False)
    assert told == "Accepted for dpo stages: stages.dpo gives what it gave before."
    assert make_plan(make_recipe(GRPO), home, ledger).is_finished
    (decision,) = ledger.decisions("dpo")
    assert (decision.kind, decision.reason) == ("accept", "renamed a variable")
    accept_code(home, ledger, make_recipe(GRPO), "dpo", "it did alter them", withdraw=True)
    assert set(running(make_plan(make_recipe(GRPO), home, ledger))) == {"dpo", "grpo"}


def test_a_second_change_is_not_covered_by_the_acceptance_of_the_first(
    finished: Plan, home: Home, ledger: Ledger, change_source: Callable[..., None]
) -> None:
    change_source("stages.dpo")
    accept_code(home, ledger, make_recipe(GRPO), "dpo", "renamed a variable", withdraw=False)
    change_source("stages.dpo", "changed again")
    assert set(running(make_plan(make_recipe(GRPO), home, ledger))) == {"dpo", "grpo"}


def test_a_verifier_that_judged_nothing_is_not_accepted_by_the_way(
    finished: Plan, home: Home, ledger: Ledger, change_source: Callable[..., None]
) -> None:
    change_source("stages.verifiers.exact_number")
    (told,) = accept_code(home, ledger, make_recipe(GRPO), "check", "same numbers", withdraw=False)
    assert told == (
        "Accepted for every stage that exact_number judges: "
        "stages.verifiers.exact_number gives what it gave before."
    )
    (decision,) = ledger.decisions("check")
    assert len(decision.evidence["code"]) == 1
    plan = make_plan(make_recipe(GRPO), home, ledger)
    assert plan.is_finished
    assert plan["check"].reason == "run run-1, changed code accepted"
    assert plan["sft"].reason == "run run-1"


@pytest.mark.parametrize(("reason", "fault"), [("because", "no change left"), (" ", "No reason")])
def test_nothing_is_accepted_without_a_change_and_a_reason(
    reason: str, fault: str, finished: Plan, home: Home, ledger: Ledger
) -> None:
    with pytest.raises(RecipeError, match=fault):
        accept_code(home, ledger, make_recipe(GRPO), "dpo", reason, withdraw=False)
