"""A run that nobody sits beside, as Prefect calls it: what it does before and after the flow's own work."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import HomeError
from flows import unattended
from flows.plan import Wishes, make_plan
from flows.promote_if_better import Judged, promote_if_better
from flows.recipe import Recipe
from flows.unattended import NOTHING_TO_DO, run_unattended
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.records import REUSED, Decision
from tests.factories import REFUSED_GATE, finish, make_recipe

NO_WISHES = Wishes()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    before = dict(os.environ)
    monkeypatch.setattr(unattended, "_end_quietly", lambda: None)  # or pytest itself would end so
    os.environ["BURNISH_HOME"] = str(tmp_path / "home")
    yield open_home(tmp_path / "home")
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger(home.ledger_path)


def _finish(home: Home, ledger: Ledger) -> None:
    finish(make_plan(make_recipe(), home, ledger), home, ledger)
    home.mlflow_path.parent.mkdir()
    home.mlflow_path.touch()


_GATED = {
    "datasets.held_out": {"generate": "arithmetic", "count": 32, "split": "test"},
    "evaluate": {"rows": ["held_out"], "samples": 2},
    "stages.proof": {"kind": "gate", "start": "sft"},
}


def _evaluated(*earlier: str) -> dict[str, Any]:
    named = [
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "pass_at_2",
        "completion_tokens",
        "completions",
        "problems",
    ]
    named += [
        f"{model}/{change}"
        for model in earlier
        for change in ("change", "change_low", "change_high", "p_value")
    ]
    return {"metrics": {f"eval/{name}": 0.5 for name in named}, "notes": [], "judged_by": []}


def _refuse(recipe: Recipe, home: Home, ledger: Ledger) -> None:
    """The gate refused, and what follows it was never made."""
    held = ("base.evaluate", "sft.evaluate", "check", "preferences", "dpo", "dpo.evaluate", "proof")
    plan = make_plan(recipe, home, ledger)
    finish(plan, home, ledger, {step.node.name for step in plan.steps}.difference(held))
    finish(plan, home, ledger, ["base.evaluate"], result=_evaluated())
    finish(plan, home, ledger, ["sft.evaluate"], result=_evaluated("base"))
    finish(plan, home, ledger, ["proof"], result=REFUSED_GATE)
    home.mlflow_path.parent.mkdir()
    home.mlflow_path.touch()


def _never(_recipe: Recipe, _wishes: Wishes) -> dict[str, Any]:
    raise AssertionError("there was nothing to run")


def test_a_run_with_nothing_to_do_says_so_by_its_state_and_in_the_ledger(home: Home, ledger: Ledger) -> None:
    _finish(home, ledger)
    before = len(ledger.runs())
    state = run_unattended(make_recipe(), NO_WISHES, None, _never)
    assert (state.is_completed(), state.name) == (True, NOTHING_TO_DO)
    assert state.message == "Skipped: nothing to do, all 7 nodes are reused."
    (run, *_) = ledger.runs()
    assert (len(ledger.runs()), run.state, run.mlflow_run_id) == (before + 1, "done", None)
    assert {stage.state for stage in ledger.run_stages(run.run_id)} == {REUSED}


def test_a_run_with_something_to_do_does_it_in_the_homes_environment_and_alone(
    home: Home, ledger: Ledger
) -> None:
    seen: list[str] = []

    def run(recipe: Recipe, wishes: Wishes) -> dict[str, Any]:
        taken = home.lock(f"recipe-{recipe.name}", holder="another", timeout_seconds=0)
        with pytest.raises(HomeError, match="a scheduled run of small"), taken:
            ...
        seen.append(os.environ["HF_HUB_OFFLINE"])
        return {"recipe": recipe.name}

    state = run_unattended(make_recipe(), NO_WISHES, None, run)
    assert (state.name, state.message) == ("Completed", "Run small is done.")
    assert seen == ["1"]


def test_a_version_that_was_decided_about_is_not_judged_again(home: Home, ledger: Ledger) -> None:
    """Neither MLflow nor verdicts are there to judge it by."""
    _finish(home, ledger)
    recipe = make_recipe()
    run_id = ledger.begin_run(recipe.name, recipe.model_dump(mode="json"), 1, 0.0)
    made = [{"stage": name, "model": f"small.{name}/1"} for name in ("base", "sft", "dpo")]
    ledger.end_run(run_id, "done", {"lines": made})
    refused = Decision(1.0, "refuse", "small.dpo", None, None, "me", "", {"version": 1})
    ledger.decide(refused)
    stays = "small.dpo/1 was judged before and stays a candidate."
    assert promote_if_better(home, ledger, recipe) == Judged("small.dpo/1", None, stays)
    state = run_unattended(recipe, NO_WISHES, "if-better", _never)
    assert state.message == f"Skipped: nothing to do, all 7 nodes are reused. {stays}"
    ledger.decide(Decision(1.5, "promote", "small.dpo", None, 9, "me", "another one", {"version": 9}))
    assert promote_if_better(home, ledger, recipe) == Judged("small.dpo/1", None, stays)
    ledger.decide(Decision(2.0, "promote", "small.dpo", None, 1, "me", "", {"version": 1}))
    assert promote_if_better(home, ledger, recipe) == Judged(
        "small.dpo/1", None, "small.dpo/1 is the champion."
    )


def test_a_refusal_is_told_once_and_its_model_is_not_promoted(
    home: Home, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run raised GateRefused; in the nights that follow nothing is left but what the gate holds back."""
    monkeypatch.setattr(unattended, "promote_if_better", _never)
    recipe = make_recipe(_GATED)
    _refuse(recipe, home, ledger)
    finish(make_plan(recipe, home, ledger), home, ledger, ["dpo"])  # made before there was a gate
    for _night in range(2):
        state = run_unattended(recipe, NO_WISHES, "if-better", _never)
        assert state.name == NOTHING_TO_DO
        assert state.message == "Skipped: nothing to do, what proof refused before is refused still."
    (run, *_) = ledger.runs()
    stages = {stage.stage: stage.state for stage in ledger.run_stages(run.run_id)}
    assert run.state == "refused"
    assert (stages["sft"], stages["proof"], stages["dpo"]) == (REUSED, "refused", "skipped")
    assert run.summary is not None and [line["stage"] for line in run.summary["lines"]] == ["base", "sft"]


def test_an_override_given_with_the_run_is_kept_and_goes_on(home: Home, ledger: Ledger) -> None:
    recipe = make_recipe(_GATED)
    _refuse(recipe, home, ledger)
    went_on: list[str] = []

    def run(recipe: Recipe, _wishes: Wishes) -> dict[str, Any]:
        went_on.append(recipe.name)
        return {}

    state = run_unattended(recipe, Wishes(override="shorter answers"), None, run)
    assert (state.name, went_on) == ("Completed", ["small"])
    assert [each.reason for each in ledger.decisions("small.proof")] == ["shorter answers"]


def test_a_version_that_somebody_rolled_back_from_is_not_promoted_again(home: Home, ledger: Ledger) -> None:
    """Neither MLflow nor verdicts are there to judge it by."""
    recipe = make_recipe()
    plan = make_plan(recipe, home, ledger)
    finish(plan, home, ledger)
    finish(plan, home, ledger, ["dpo"], version=2, fingerprint="other")
    run_id = ledger.begin_run(recipe.name, recipe.model_dump(mode="json"), 1, 0.0)
    made = [{"stage": name, "model": f"small.{name}/{version}"} for name, version in (("sft", 1), ("dpo", 2))]
    ledger.end_run(run_id, "done", {"lines": made})
    ledger.decide(Decision(1.0, "promote", "small.dpo", None, 1, "me", "", {"version": 1}))
    ledger.decide(Decision(2.0, "promote", "small.dpo", 1, 2, "me", "", {"version": 2}))
    ledger.decide(Decision(3.0, "rollback", "small.dpo", 2, 1, "me", "it swears", {}))
    assert promote_if_better(home, ledger, recipe) == Judged(
        "small.dpo/2", None, "small.dpo/2 was champion before; `burnish promote` makes it champion again."
    )
