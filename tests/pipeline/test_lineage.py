"""From a real run's model back to its rows, and from a withdrawn row on to what it takes away."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.records import Execution, Input
from infra.training_rows import read_training_rows
from infra.warehouse.locating import HashSet
from infra.warehouse.row_hashes import HASH_TYPE
from infra.warehouse.warehouse import Warehouse
from tests.pipeline import coin
from tests.pipeline.conftest import World
from tests.pipeline.shell import Outcome, Shell

ROW = 5
UNTOUCHED = {"calls", "audit", "held_out", "base", "base.evaluate"}
"""What a withdrawn toss cannot change."""


@dataclass(frozen=True)
class Withdrawn:
    """A toss was withdrawn, and another recipe ran on the same files as far as SFT."""

    row_hash: str
    impact: dict[str, Any]
    models: list[dict[str, Any]]
    promotion: Outcome
    plan: dict[str, str]
    states: dict[str, str]
    sft: Execution


@pytest.fixture(scope="module")
def withdrawn(world: World, shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Withdrawn]:
    warehouse = Warehouse(world.home)
    row_hash = warehouse.reader.hashes(warehouse.get("coin.tosses@1"))[ROW].tobytes().hex()
    impact = shell.run("data", "impact", "--row", row_hash, "--json").json
    given = ["--row", row_hash[:12], "--because", "its author asked"]
    assert shell.run("data", "withdraw", *given).code == 2, "nobody can be asked"
    assert world.ledger.withdrawals() == []
    done = shell.run("data", "withdraw", *given, "--yes")
    assert done.code == 0, done.text
    (withdrawal,) = world.ledger.withdrawals()
    models = shell.run("models", "coin", "--json").json
    promotion = shell.run("promote", "coin.grpo/1")
    plan = {step["name"]: step["action"] for step in shell.run("plan", world.recipe, "--json").json["nodes"]}
    other = _renamed(world.recipe, tmp_path_factory.mktemp("traced"))
    run = shell.run("run", other, "--until", "sft")
    assert run.code == 0, run.text
    (newest,) = world.ledger.runs("traced", limit=1)
    states = {stage.stage: stage.state for stage in world.ledger.run_stages(newest.run_id)}
    sft = world.ledger.find_by_stage("traced", "sft")[0]
    yield Withdrawn(row_hash, impact, models, promotion, plan, states, sft)
    undone = shell.run("data", "withdraw", "--undo", str(withdrawal.withdrawal_id), "--because", "a test")
    assert undone.code == 0, undone.text
    plan = {step["name"]: step["action"] for step in shell.run("plan", world.recipe, "--json").json["nodes"]}
    assert plan == dict.fromkeys(coin.NODES, "reuse")
    assert not any("burnish.withdrawn" in model["tags"] for model in shell.run("models", "--json").json)


def test_every_stage_names_the_versions_it_was_made_from(world: World):
    made = {stage: world.ledger.find_by_stage("coin", stage)[-1] for stage in coin.NODES}
    for stage, parents in {
        "sft": [("base", "start"), ("base", "base"), ("tosses", "rows")],
        "audit": [("calls", "rows")],
        "sft_check": [("sft", "start"), ("base", "base"), ("audit", "rows")],
        "preferences": [("sft_check", "rows")],
        "dpo": [("sft", "start"), ("base", "base"), ("preferences", "rows")],
        "band": [("dpo_check", "rows")],
        "tosses": [],
    }.items():
        expected = [
            Input(name, role, made[name].name, made[name].version, made[name].fingerprint, 1.0)  # pyright: ignore[reportArgumentType]
            for name, role in parents
        ]
        assert list(made[stage].inputs) == expected
    evaluated = [(given.node, given.role) for given in made["dpo.evaluate"].inputs]
    assert evaluated == [
        ("dpo", "start"),
        ("base", "base"),
        ("held_out", "rows"),
        ("sft.evaluate", "compare"),
        ("base.evaluate", "compare"),
    ]


def test_training_rows_are_kept_for_every_trained_model(world: World):
    sft = read_training_rows(world.home, world.ledger.find_by_stage("coin", "sft")[-1].input_key)
    assert sft.row.tolist() == list(range(160))
    assert (set(sft.input.tolist()), set(sft.times.tolist())) == ({0}, {1})
    metrics = world.ledger.find_by_stage("coin", "sft")[-1].result["metrics"]
    assert (metrics["sft/rows_drawn"], metrics["sft/passes"]) == (8 * 16, 8 * 16 / 160)


def test_lineage_of_the_last_model_reaches_every_dataset_it_saw(world: World, shell: Shell):
    lineage = shell.run("lineage", "coin.grpo/1", "--json").json
    stages = {artifact["stage"] for artifact in lineage["artifacts"]}
    assert stages == {*coin.MODELS, *coin.ROW_STAGES, "tosses", "calls"}
    facts = {artifact["stage"]: artifact["facts"] for artifact in lineage["artifacts"]}
    assert facts["preferences"]["pairs/chosen_reward"] == 1.0
    assert facts["preferences"]["pairs/rejected_reward"] == 0.0
    shown = shell.run("lineage", "coin.grpo/1")
    assert "up to 0.8 passes" in shown.text
    assert len(shown.out.splitlines()) <= 24, "one screen"


def test_the_way_of_sampled_rows_ends_in_a_trainer(shell: Shell):
    paths = shell.run("lineage", "coin.grpo/1", "--rows", "4", "--json").json
    assert len(paths) == 4
    for path in paths:
        assert any(
            step["use"]["kind"] in ("sft", "dpo", "grpo") and step["use"]["rows"] for step in path["steps"]
        )
        again = shell.run("lineage", "coin.grpo/1", "--row", path["row_hash"], "--json").json
        assert path in again


def test_impact_names_the_models_and_the_stages_to_run_again(withdrawn: Withdrawn):
    assert {"coin.sft/1", "coin.dpo/1", "coin.grpo/1"} <= {
        seen["model"] for seen in withdrawn.impact["models"]
    }
    assert "coin.base/1" not in {seen["model"] for seen in withdrawn.impact["models"]}
    assert not UNTOUCHED & set(withdrawn.impact["rerun"]["coin"])


def test_models_that_saw_the_row_are_tagged_and_cannot_be_promoted(withdrawn: Withdrawn):
    tagged = {f"{m['name']}/{m['version']}" for m in withdrawn.models if "burnish.withdrawn" in m["tags"]}
    seen = {model["model"] for model in withdrawn.impact["models"]}
    assert tagged == {model for model in seen if model.startswith("coin.")}
    assert withdrawn.promotion.code == 1
    assert "coin.grpo/1 saw rows that were withdrawn" in withdrawn.promotion.text
    assert "Expected: a model that saw none of them" in withdrawn.promotion.text


def test_a_plan_after_a_withdrawal_spares_exactly_what_it_cannot_change(withdrawn: Withdrawn):
    assert {name for name, action in withdrawn.plan.items() if action == "reuse"} == UNTOUCHED


def test_a_run_after_a_withdrawal_makes_the_affected_stages_without_the_row(
    world: World, withdrawn: Withdrawn
):
    assert withdrawn.states == {"tosses": "done", "base": "reused", "sft": "done"}
    warehouse = Warehouse(world.home)
    (given,) = [given for given in withdrawn.sft.inputs if given.role == "rows"]
    hashes = warehouse.reader.hashes(warehouse.get(f"{given.name}@{given.version}"))
    assert len(hashes) == 159
    row = np.frombuffer(bytes.fromhex(withdrawn.row_hash), HASH_TYPE)
    assert not HashSet(hashes).contains(row)[0]
    (made,) = [e for e in world.ledger.find_by_stage("traced", "tosses") if e.version == given.version]
    assert made.result["notes"] == ["1 withdrawn rows left out"]


def _renamed(recipe: Path, folder: Path) -> Path:
    """The same pipeline under another name, on the same files in `folder`."""
    shutil.copytree(recipe.parent, folder, dirs_exist_ok=True)
    other = folder / "traced.yaml"
    other.write_text(recipe.read_text().replace("name: coin", "name: traced"))
    return other
