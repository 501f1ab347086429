"""Past runs: found by a short name, shown with what stands behind each stage, listed without a heavy library."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from data_contracts.errors import NotFoundError
from flows.cli.app import execute
from flows.past_runs import CRASHED, find_run, past_stages
from flows.plan import make_plan
from flows.recipe_files import check_recipe, read_recipe, shipped_recipes
from flows.run_view import is_reused, recipe_yaml
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.process_identity import this_process
from infra.records import DONE, FAILED, INTERRUPTED, REUSED, RUNNING
from tests.factories import finish, make_document, make_recipe

PROJECT = Path(__file__).resolve().parent.parent
METRICS = {
    "eval/accuracy": 0.5,
    "eval/accuracy_low": 0.25,
    "eval/accuracy_high": 0.75,
    "eval/completions": 8.0,
}
GONE = (999_999_999, 1.0)
"""No process has this number."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = open_home(tmp_path / "home")
    monkeypatch.setenv("BURNISH_HOME", str(home.path))
    return home


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger(home.ledger_path)


def add_run(
    home: Home, ledger: Ledger, *, recipe: str = "small", state: str = DONE, reused: bool = False
) -> str:
    """A run of the small recipe that made, or reused, every stage."""
    plan = make_plan(make_recipe({"name": recipe}), home, ledger)
    document = plan.recipe.model_dump(mode="json")
    run_id = ledger.begin_run(recipe, document, *(this_process() if state != CRASHED else GONE))
    if not reused:
        finish(
            plan,
            home,
            ledger,
            run_id=run_id,
            pipeline=recipe,
            result={"metrics": METRICS, "notes": [], "judged_by": []},
        )
    for step in plan.steps:
        node = step.node
        ledger.set_stage(run_id, node.name, node.kind, node.key, REUSED if reused else DONE)
    if state != CRASHED:
        ledger.end_run(run_id, state, {"lines": [{"accuracy": 0.5}, {"accuracy": None}]})
    return run_id


# Names


def test_a_run_is_found_by_id_by_its_beginning_by_recipe_and_as_the_last(home: Home, ledger: Ledger) -> None:
    first = add_run(home, ledger)
    second = add_run(home, ledger, recipe="other")
    unique = next(first[:size] for size in range(1, 22) if not second.startswith(first[:size]))
    assert find_run(ledger, first).run_id == find_run(ledger, unique).run_id == first
    assert find_run(ledger, "small").run_id == first
    assert find_run(ledger, "last").run_id == find_run(ledger, None).run_id == second


def test_a_beginning_that_two_runs_share_lists_both(home: Home, ledger: Ledger) -> None:
    first, second = add_run(home, ledger), add_run(home, ledger, recipe="other")
    with pytest.raises(NotFoundError, match="2 runs begin with '2'") as raised:
        find_run(ledger, "2")
    assert first in raised.value.expected
    assert second in raised.value.expected


def test_a_whole_id_is_that_run_also_where_another_begins_with_it(home: Home, ledger: Ledger) -> None:
    run_id = ledger.begin_run("small", {}, *GONE)
    with sqlite3.connect(home.ledger_path) as db:
        db.execute("insert into runs select run_id || 'ff', recipe, document, state, started, ended, pid,"
                   " pid_started, flow_run_id, mlflow_run_id, summary from runs")  # fmt: skip
    assert find_run(ledger, run_id).run_id == run_id


@pytest.mark.parametrize("wanted", ["", "smal", "%", "2' or 1=1 --", "\x1b[31m"])
def test_an_unknown_run_is_refused(home: Home, ledger: Ledger, wanted: str) -> None:
    for _ in range(2):
        add_run(home, ledger)
    with pytest.raises(NotFoundError):
        find_run(ledger, wanted)


def test_the_nearest_recipe_is_suggested(
    home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(home, ledger)
    for command in (["show", "smal"], ["runs", "smal"], ["compare", "smal", "last"]):
        assert execute(command) == 2
        assert "Did you mean 'small'?" in capsys.readouterr().err


# Stages


def test_a_reused_result_leads_to_the_run_that_made_it(home: Home, ledger: Ledger) -> None:
    maker = add_run(home, ledger)
    later = find_run(ledger, add_run(home, ledger, reused=True))
    for past in past_stages(ledger, later):
        assert past.made_by is not None
        assert (past.made_by.run_id, is_reused(past, later)) == (maker, True)
    first = find_run(ledger, maker)
    assert not any(is_reused(past, first) for past in past_stages(ledger, first))


def test_a_run_keeps_its_own_result_when_the_same_is_made_again_later(home: Home, ledger: Ledger) -> None:
    first = find_run(ledger, add_run(home, ledger))
    plan = make_plan(make_recipe(), home, ledger)
    finish(plan, home, ledger, run_id="forced", version=2)
    assert {past.execution.version for past in past_stages(ledger, first) if past.execution} == {1}


def test_a_result_taken_over_from_another_recipe_is_traced_to_its_maker(home: Home, ledger: Ledger) -> None:
    maker = add_run(home, ledger)
    taking = find_run(ledger, add_run(home, ledger, recipe="other", reused=True))
    for made in ledger.executions():
        if made.run_id == maker:
            ledger.record(
                replace(made, run_id=taking.run_id, pipeline="other", seconds=0.0, ended=time.time())
            )
    for stage in ledger.run_stages(taking.run_id):
        ledger.set_stage(taking.run_id, stage.stage, stage.kind, stage.key, REUSED)
    for past in past_stages(ledger, taking):
        assert past.execution is not None and past.made_by is not None
        assert (past.execution.pipeline, past.made_by.pipeline, past.made_by.run_id) == (
            "other",
            "small",
            maker,
        )


def test_a_stage_of_a_run_whose_process_is_gone_is_crashed(home: Home, ledger: Ledger) -> None:
    run_id = add_run(home, ledger, state=CRASHED)
    ledger.set_stage(run_id, "dpo", "dpo", "another key", RUNNING)
    states = {past.stage.stage: past.state for past in past_stages(ledger, find_run(ledger, run_id))}
    assert (states["sft"], states["dpo"]) == (DONE, CRASHED)


# The recipe as it ran


@pytest.mark.parametrize("name", shipped_recipes())
def test_the_recipe_shown_is_the_recipe_that_ran(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(shipped_recipes()[name], ["seed=12"])
    shown = tmp_path / "shown.yaml"
    shown.write_text(recipe_yaml(check_recipe(recipe.model_dump(mode="json"), name)))
    assert read_recipe(shown) == recipe


def test_the_recipe_shown_has_verifiers_that_ask_a_model(tmp_path: Path) -> None:
    judge = {"kind": "judge", "url": "https://localhost/v1", "model": "m", "rubric": "r", "max_calls": 1,
             "max_total_tokens": 9}  # fmt: skip
    recipe = check_recipe(make_document(verifiers={"mine": judge}), "test")
    shown = tmp_path / "shown.yaml"
    shown.write_text(recipe_yaml(recipe))
    assert read_recipe(shown) == recipe


# Commands


def test_runs_counts_what_ran_was_reused_and_failed(
    home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    first = add_run(home, ledger)
    second = add_run(home, ledger, reused=True, state=FAILED)
    ledger.set_stage(second, "dpo", "dpo", "key", FAILED, "out of memory")
    third = add_run(home, ledger, state=CRASHED)
    assert execute(["runs", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(line["run"], line["state"]) for line in listed] == [
        (third, "crashed"),
        (second, "failed"),
        (first, "done"),
    ]
    num_nodes = len(ledger.run_stages(first))
    counts = [(line["ran"], line["reused"], line["failed"]) for line in listed]
    assert counts == [(num_nodes, 0, 0), (0, num_nodes - 1, 1), (num_nodes, 0, 0)]
    assert [line["accuracy"] for line in listed] == [None, 0.5, 0.5]
    assert listed[0]["seconds"] is None
    execute(["runs", "--limit", "1", "--json"])
    assert len(json.loads(capsys.readouterr().out)) == 1


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_terminal_is_never_overrun(
    columns: str,
    home: Home,
    ledger: Ledger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = add_run(home, ledger)
    add_run(home, ledger, reused=True, state=INTERRUPTED)
    monkeypatch.setenv("COLUMNS", columns)
    for command in (["runs"], ["show", run_id], ["compare", run_id, "last"]):
        assert execute(command) == 0
        out = capsys.readouterr().out.partition("Recipe, as it ran:")[0]
        assert run_id in out
        assert max(map(len, out.splitlines())) <= int(columns)


def test_show_tells_of_each_stage_where_it_came_from(
    home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    maker = add_run(home, ledger)
    add_run(home, ledger, reused=True)
    assert execute(["show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    dpo = next(stage for stage in shown["stages"] if stage["stage"] == "dpo")
    assert (dpo["version"], dpo["reused_from"], dpo["seconds"]) == ("small.dpo/1", maker, 1.5)
    given = [(each["node"], each["role"], each["reference"]) for each in dpo["inputs"]]
    assert given == [("sft", "start", "small.sft/1"), ("preferences", "rows", "small.preferences@1")]
    assert dpo["metrics"] == METRICS
    assert shown["as_run"]["document"] == make_recipe().model_dump(mode="json")
    assert execute(["show"]) == 0
    text = capsys.readouterr().out
    assert f"made by run {maker}" in text
    assert "accuracy 50.0 % [25.0, 75.0] of 8 completions" in text


def test_text_of_a_failure_cannot_act_on_the_terminal(
    home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = add_run(home, ledger, state=FAILED)
    ledger.set_stage(run_id, "dpo", "dpo", "key", FAILED, "[/red] [link=file:x]\x1b[2Jgone\u202e")
    for command in ("show", "status"):
        assert execute([command]) == 0
        out = capsys.readouterr().out
        assert "[/red]" in out
        assert "\x1b" not in out and "\u202e" not in out


def test_a_number_that_json_cannot_say_is_null(
    home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = add_run(home, ledger)
    (made,) = ledger.find_by_stage("small", "sft")
    ledger.record(replace(made, result={**made.result, "metrics": {"sft/loss": float("nan")}}))
    assert execute(["show", run_id, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert next(stage for stage in shown["stages"] if stage["stage"] == "sft")["metrics"] == {
        "sft/loss": None
    }


def test_runs_and_show_load_no_heavy_library(home: Home, ledger: Ledger) -> None:
    add_run(home, ledger)
    code = """
import sys
from flows.cli.app import execute
assert execute(["runs"]) == execute(["show"]) == execute(["show", "--json"]) == 0
heavy = ("torch", "transformers", "trl", "datasets", "prefect", "mlflow", "duckdb", "pyarrow", "numpy", "scipy")
print([name for name in heavy if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_home_without_runs_says_how_to_begin(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["runs"]) == 0
    assert "burnish run tiny" in capsys.readouterr().out
    assert execute(["show"]) == 2
    assert "burnish run tiny" in capsys.readouterr().err
