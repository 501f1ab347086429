"""A live run followed from outside and cancelled; then two real runs compared."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from infra.records import Run, RunStage
from tests.pipeline import coin
from tests.pipeline.conftest import World
from tests.pipeline.shell import BURNISH, Outcome, Shell, wait_until

STEPS = 2000
"""More than any machine does before it is told to stop."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A run that was cancelled while another command followed its log."""

    by: Outcome
    run: Outcome
    followed: Outcome
    record: Run
    stage: RunStage
    steps: list[int]
    """Of the checkpoints it left."""


@pytest.fixture(scope="module")
def cancelled(world: World, shell: Shell) -> Iterator[Cancelled]:
    shell.start("run", world.recipe, "--set", f"sft.steps={STEPS}", "--set", "name=stopped", "--until", "sft")

    def stages() -> list[RunStage]:
        runs = world.ledger.runs("stopped")
        found = world.ledger.run_stages(runs[0].run_id) if runs else []
        return [each for each in found if each.stage == "sft"]

    wait_until(lambda: bool(stages()), "the run")
    work = world.home.work_dir / stages()[0].key
    wait_until(lambda: "loss" in read(work / "stage.log"), "the first numbers in the log")
    command = [BURNISH, "logs", "stopped", "sft", "--follow"]
    with subprocess.Popen(
        command, env=world.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as follower:
        by = world.burnish("cancel", "stopped", "--json")
        run = shell.wait()
        out, err = follower.communicate()
    steps = [json.loads(path.read_text())["global_step"] for path in work.rglob("trainer_state.json")]
    yield Cancelled(
        by,
        run,
        Outcome(follower.returncode, out, err, 0.0),
        world.ledger.runs("stopped")[0],
        stages()[0],
        steps,
    )
    shutil.rmtree(work)


def read(path: Any) -> str:
    return path.read_text() if path.exists() else ""


def test_a_cancelled_run_leaves_a_checkpoint_and_says_how_to_continue(
    world: World, cancelled: Cancelled
) -> None:
    assert (cancelled.by.code, cancelled.run.code) == (0, 130)
    assert (cancelled.record.state, cancelled.stage.state) == ("interrupted", "interrupted")
    (step,) = cancelled.steps
    assert 0 < step < STEPS
    assert cancelled.by.json == {
        "run": cancelled.record.run_id,
        "recipe": "stopped",
        "state": "interrupted",
        "interrupted": [{"stage": "sft", "checkpoint_step": step}],
    }
    assert "waiting for it" in cancelled.by.err
    again = world.burnish("cancel", "stopped")
    assert again.code == 2
    assert "is not running: interrupted" in again.text


def test_a_followed_log_is_whole_and_ends_with_its_stage(world: World, cancelled: Cancelled) -> None:
    assert cancelled.followed.code == 0
    assert cancelled.followed.out == (world.home.logs_dir / cancelled.record.run_id / "sft.log").read_text()
    assert "Stage sft: interrupted" in cancelled.followed.err


@pytest.fixture(scope="module")
def changed(world: World, shell: Shell) -> str:
    """A run of the recipe under another name, its last stage changed."""
    run = shell.run(
        "run", world.recipe, "--set", "name=changed", "--set", "grpo.learning_rate=1e-9", "--json"
    )
    assert run.code == 0, run.text
    return run.json["run_id"]


def test_the_log_of_a_reused_stage_is_the_makers(world: World, shell: Shell, changed: str) -> None:
    """Other tests of this home may have made the same sft, under whatever name."""
    told = shell.run("logs", "changed", "sft")
    maker = re.search(r"run (\S+) made it, as (\w+)\.sft", told.text)
    assert maker is not None
    assert maker[1] in {made.run_id for made in world.ledger.find_by_stage(maker[2], "sft") if made.seconds}
    assert told.out == (world.home.logs_dir / maker[1] / "sft.log").read_text()


def test_two_real_runs_are_compared(world: World, shell: Shell, changed: str) -> None:
    first = world.ledger.runs("coin", limit=1000)[-1].run_id
    found = shell.run("compare", first, changed, "--json", "--samples", "99").json
    assert [field["field"] for field in found["recipe"]] == ["name", "grpo.learning_rate"]
    differing = {node["name"]: node["state"] for node in found["nodes"] if node["state"] != "same"}
    assert differing == {"grpo": "changed", "grpo.evaluate": "inherited"}
    models = {model["stage"]: model for model in found["models"]}
    assert models["dpo"]["unpaired"] == "the same completions in both"
    grpo = models["grpo"]
    before, after = grpo["metrics"]["eval/accuracy"]
    assert grpo["problems"] == [coin.NUM_HELD_OUT] * 2
    assert grpo["paired"]["num_problems"] == coin.NUM_HELD_OUT
    assert grpo["paired"]["difference"] == pytest.approx(after - before)
    assert grpo["paired"]["low"] <= after - before <= grpo["paired"]["high"]
    changes = [*grpo["samples"]["better"], *grpo["samples"]["worse"]]
    moved = sum(problem["after"] - problem["before"] for problem in changes)
    assert moved / coin.NUM_HELD_OUT == pytest.approx(after - before)


def test_a_recipe_that_is_shown_runs_again_with_nothing_to_do(
    world: World, shell: Shell, changed: str, tmp_path: Any
) -> None:
    again = tmp_path / "again.yaml"
    again.write_text(shell.run("show", changed, "--recipe").out)
    planned = shell.run("plan", again, "--json").json
    assert planned["is_finished"]
