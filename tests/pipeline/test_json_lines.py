"""A run as a program follows it, and as nobody does."""

import json

import pytest

from tests.pipeline.conftest import World
from tests.pipeline.shell import Shell


def test_a_program_is_told_every_event_of_a_run_and_at_last_what_json_tells(
    world: World, shell: Shell
) -> None:
    change = ("run", world.recipe, "--set", "sft.learning_rate=3e-3", "--until", "sft")
    done = shell.run(*change, "--json-lines")
    assert done.code == 0, done.text
    told = [json.loads(line) for line in done.out.splitlines()]
    assert (told[0]["event"], told[-1]["event"]) == ("plan", "summary")
    assert {node["name"] for node in told[0]["nodes"]} >= {"tosses", "sft"}
    of_sft = [each for each in told if each.get("stage") == "sft"]
    assert [each["event"] for each in (of_sft[0], of_sft[-1])] == ["begin", "end"]
    assert of_sft[-1]["state"] == "done"
    steps = [each["step"] for each in of_sft if each["event"] == "progress"]
    assert steps == sorted(steps) and steps[-1] == 8
    losses = [each["metrics"]["sft/loss"] for each in of_sft if "sft/loss" in each.get("metrics", {})]
    assert len(losses) == 8
    memory = [each["metrics"]["sft/memory_gib"] for each in of_sft if "sft/loss" in each.get("metrics", {})]
    assert all(0.1 < each < 8 for each in memory), "of a process that has torch"
    summary = told[-1]
    document = shell.run(*change, "--json").json
    assert summary["lines"] == document["lines"]
    assert summary.keys() - {"event", "time"} == document.keys()


@pytest.mark.parametrize("both", [("--json", "--quiet"), ("--json-lines", "--json")])
def test_one_way_of_telling_is_chosen(world: World, shell: Shell, both: tuple[str, str]) -> None:
    done = shell.run("run", world.recipe, *both)
    assert done.code == 2
    assert "do not go together" in done.text


def test_a_quiet_run_says_only_what_it_came_to(world: World, shell: Shell) -> None:
    done = shell.run("run", world.recipe, "--set", "sft.learning_rate=2e-3", "--until", "sft", "--quiet")
    assert done.code == 0, done.text
    assert "plan" not in done.text and "Starting Prefect" not in done.text and "running" not in done.text
    assert "everything in" in done.out
