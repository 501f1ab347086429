"""What a rerun trains and what it reuses, and what `plan` says of it beforehand."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.records import Run
from tests.pipeline import coin
from tests.pipeline.conftest import World
from tests.pipeline.shell import PROJECT, Outcome, Shell


def newest(world: World) -> tuple[Run, dict[str, str]]:
    (run,) = world.ledger.runs("coin", limit=1)
    return run, {stage.stage: stage.state for stage in world.ledger.run_stages(run.run_id)}


def planned(outcome: Outcome) -> dict[str, str]:
    return {step["name"]: step["action"] for step in outcome.json["nodes"]}


def test_a_plan_after_the_run_reuses_everything(world: World, shell: Shell):
    assert planned(shell.run("plan", world.recipe, "--json")) == dict.fromkeys(coin.NODES, "reuse")


def test_json_of_a_run_is_one_document_that_holds_the_table(world: World, shell: Shell):
    outcome = shell.run("run", world.recipe, "--json")
    assert outcome.code == 0
    lines = {line["stage"]: line for line in outcome.json["lines"]}
    assert list(lines) == list(coin.MODELS)
    assert lines["grpo"]["model"] == "coin.grpo/1"
    assert lines["grpo"]["problems"] == coin.NUM_HELD_OUT
    assert lines["sft"]["changes"][0]["to"] == "base"
    change = lines["sft"]["accuracy"] - lines["base"]["accuracy"]
    assert lines["sft"]["changes"][0]["change"] == pytest.approx(change)


def test_a_run_with_nothing_to_do_never_imports_what_is_slow(world: World):
    code = (
        "import sys; from flows.cli.app import execute; code = execute(sys.argv[1:]);"
        "print(code, sorted({'prefect', 'mlflow', 'torch', 'duckdb'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(world.recipe)],
        env=world.environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_set_and_until_run_the_changed_stage_and_stop_there(world: World, shell: Shell):
    change = ["run", world.recipe, "--set", "dpo.beta=4", "--until", "dpo"]
    plan = shell.run("plan", *change[1:], "--json").json["nodes"]
    assert {step["name"]: step["reason"] for step in plan}["dpo"] == "← dpo.beta 5.0 → 4.0"
    assert shell.run(*change).code == 0
    run, states = newest(world)
    assert states == {
        **dict.fromkeys(["base", "tosses", "calls", "audit", "sft", "sft_check", "preferences"], "reused"),
        "dpo": "done",
    }
    ran = {step["name"] for step in plan if step["action"] == "run"}
    assert ran == {name for name, state in states.items() if state == "done"}
    assert run.document["stages"]["dpo"]["beta"] == 4
    made = world.ledger.find_by_stage("coin", "dpo")[0]
    assert made.run_id == run.run_id
    assert made.version > 1
    again = shell.run(*change)
    assert "Nothing to run" in again.text
    assert planned(shell.run("plan", world.recipe, "--json"))["dpo"] == "reuse", "beta 5 is still there"
    promoted = shell.run("promote", "coin", "--json").json["model"]
    assert promoted == "coin.grpo", "a run that stopped early has no last model"


def test_forcing_a_stage_that_gives_the_same_again_spares_its_children(world: World, shell: Shell):
    """The early cut-off: a deterministic stage runs, its content is equal, so nothing below it runs."""
    plan = planned(shell.run("plan", world.recipe, "--force", "sft_check", "--json"))
    assert plan["sft_check"] == "run"
    assert plan["preferences"] == plan["dpo"] == plan["grpo.evaluate"] == "depends"
    assert plan["sft"] == plan["sft.evaluate"] == "reuse"
    before = world.ledger.find_by_stage("coin", "sft_check")[0]
    assert shell.run("run", world.recipe, "--force", "sft_check").code == 0
    _, states = newest(world)
    after = world.ledger.find_by_stage("coin", "sft_check")[0]
    assert after.run_id != before.run_id
    assert (after.fingerprint, after.version) == (before.fingerprint, before.version)
    assert states == {**dict.fromkeys(coin.NODES, "reused"), "sft_check": "done"}


def test_a_stage_that_fails_stops_what_depends_on_it_and_nothing_else(world: World, shell: Shell):
    """One completion per prompt has nothing to be preferred to; evaluating the base does not mind."""
    failed = shell.run(
        "run", world.recipe, "--set", "sft_check.samples=1", "--force", "base.evaluate", "--set", "name=fails"
    )
    assert failed.code == 1
    run = world.ledger.runs("fails", limit=1)[0]
    states = {stage.stage: stage.state for stage in world.ledger.run_stages(run.run_id)}
    assert run.state == "failed"
    assert states["sft_check"] == states["base.evaluate"] == "done"
    assert states["preferences"] == "failed"
    below = ["dpo", "dpo_check", "band", "grpo", "dpo.evaluate", "grpo.evaluate"]
    assert {name for name, state in states.items() if state == "skipped"} == set(below)
    log = world.home.logs_dir / run.run_id / "preferences.log"
    for part in (
        "Stage preferences failed",
        "16 prompts",
        "Expected: at least one prompt with a better and a worse completion",
        "more samples or a higher temperature",
        "Finished stages are kept",
    ):
        assert part in failed.text
    assert str(log) in failed.err.replace("\n", "")
    assert "Traceback" not in failed.text
    assert "Traceback" in log.read_text(), "the trace is in the log, for whoever wants it"
    assert json.loads(shell.run("status", "fails", "--json").out)["state"] == "failed"

    fixed = shell.run("run", world.recipe, "--set", "name=fails", "--until", "preferences")
    assert fixed.code == 0
    run = world.ledger.runs("fails", limit=1)[0]
    states = {stage.stage: stage.state for stage in world.ledger.run_stages(run.run_id)}
    assert set(states.values()) == {"reused"}


def test_no_problem_in_the_band_says_where_they_are(world: World, shell: Shell):
    empty = shell.run("run", world.recipe, "--set", "band.pass_rate=[0.51, 0.52]", "--until", "band")
    assert empty.code == 1
    assert "No problem has a pass rate in [0.51, 0.52]: of 16," in empty.text
    assert "Widen pass_rate" in empty.text


def test_deleted_weights_are_made_again_and_missed_until_then(world: World, shell: Shell):
    change = [world.recipe, "--set", "name=lost", "--until", "sft"]
    assert shell.run("run", *change).code == 0
    (made,) = world.ledger.find_by_stage("lost", "sft")
    for kept in (world.home.models_dir / made.fingerprint, world.home.mlflow_artifacts_dir / "lost"):
        for weights in kept.rglob("model.safetensors"):
            weights.unlink()
    chat = shell.run("chat", "lost.sft", "--prompt", "toss 1")
    assert (chat.code, "The weights of lost.sft/1 are gone" in chat.text) == (2, True)
    steps = {step["name"]: step for step in shell.run("plan", *change, "--json").json["nodes"]}
    assert (steps["sft"]["action"], steps["sft"]["reason"]) == ("run", "← its output is gone")
    assert shell.run("run", *change).code == 0
    assert (world.home.models_dir / made.fingerprint / "model.safetensors").is_file()
    assert shell.run("chat", "lost.sft/1", "--prompt", "toss 1").code == 0


def test_a_removed_registry_is_filled_again(world: World, shell: Shell, tmp_path: Path):
    """In a copy of the home, since the shell's process holds the MLflow of its own open."""
    home = shutil.copytree(world.home.path, tmp_path / "home")
    shutil.rmtree(home / "mlflow")
    assert shell.run("run", world.recipe, "--json", home=home).code == 0
    listed = shell.run("models", "coin", "--json", home=home).json
    assert {model["name"] for model in listed} == {f"coin.{model}" for model in coin.MODELS}
    assert shell.run("promote", "coin", "--json", home=home).json["model"] == "coin.grpo"


def test_a_pipelines_name_promotes_the_version_its_newest_run_ended_with(world: World, shell: Shell):
    other = shell.run("run", world.recipe, "--set", "grpo.learning_rate=5e-4", "--json")
    newest_version = other.json["lines"][-1]["model"]
    reused = shell.run("run", world.recipe, "--json").json["lines"][-1]["model"]
    assert newest_version != reused
    promoted = shell.run("promote", "coin", "--json").json
    assert f"{promoted['model']}/{promoted['version']}" == reused


def test_a_stage_is_rerun_from_a_registered_model_and_nothing_else(world: World, shell: Shell):
    """Its start's base has to be there too, though nothing but its template is looked at."""
    change = ["rerun", "sft", "--run", "coin", "--only", "--set", "name=onward"]
    outcome = shell.run(*change, "--from-model", "coin.dpo/1", "--json")
    assert outcome.code == 0, outcome.text
    assert [line["stage"] for line in outcome.json["lines"]] == ["base", "coin.dpo.v1", "sft"]
    (made,) = world.ledger.find_by_stage("onward", "sft")
    start = made.inputs[0]
    assert (start.role, start.name, start.version) == ("start", "coin.dpo", 1)
    refused = shell.run(*change, "--from-model", "coin.tosses/1")
    assert (refused.code, "coin.tosses/1 is a dataset version" in refused.text) == (2, True)


def test_a_sweep_trains_the_other_seeds_and_says_how_far_they_spread(world: World, shell: Shell):
    outcome = shell.run("rerun", "dpo", "--recipe", world.recipe, "--seed-sweep", "2", "--json")
    assert outcome.code == 0, outcome.text
    run, states = newest(world)
    below = [name for name in states if name.startswith("dpo_seed_4")]
    assert {name for name, state in states.items() if state == "done"} == set(below)
    assert below == ["dpo_seed_4", "dpo_seed_4.evaluate"]
    assert states["dpo_seed_3"] == states["preferences"] == "reused"
    sweep = outcome.json["sweep"]
    first, second = sweep["branches"]["dpo_seed_3"], sweep["branches"]["dpo_seed_4"]
    assert sweep["mean"] == pytest.approx((first + second) / 2)
    assert sweep["standard_deviation"] == pytest.approx(abs(first - second) / 2**0.5)
    assert list(run.document["stages"]) == ["sft", "audit", "sft_check", "preferences", *sweep["branches"]]


def test_an_evaluation_is_rerun_by_its_name(world: World, shell: Shell):
    outcome = shell.run("rerun", "dpo.evaluate", "--recipe", world.recipe, "--only", "--json")
    assert outcome.code == 0, outcome.text
    _, states = newest(world)
    assert {name for name, state in states.items() if state == "done"} == {"dpo.evaluate"}
    assert "grpo" not in states


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rerun", "nosuch"], "has no stage 'nosuch'"),
        (["rerun", "dpo", "--from-model", "coin.sft"], "NAME/VERSION such as models:/tiny.dpo/3"),
        (["rerun", "sft_check", "--only", "--set", "sft.steps=9"], "sft would have to run before it"),
        (["rerun", "sft_check", "--seed-sweep", "2"], "Expected: one of sft, dpo, grpo"),
        (["rerun", "dpo", "--only", "--seed-sweep", "2"], "do not go together"),
        (["accept", "dpo", "--because", "nothing changed"], "has no change left to accept"),
        (["accept", "dpo", "--because", "it did", "--withdraw"], "No change of the code of dpo was accepted"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_before_anything_runs(
    arguments: list[str], told: str, world: World, shell: Shell
):
    before = newest(world)[0].run_id
    outcome = shell.run(*arguments, "--recipe", world.recipe)
    assert (outcome.code, told in outcome.text) == (2, True), outcome.text
    assert "Traceback" not in outcome.text
    assert newest(world)[0].run_id == before
