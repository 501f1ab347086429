"""What one real run prints and leaves behind: ledger, warehouse, MLflow, Prefect, files."""

import math
import re
import sqlite3
import time
from pathlib import Path

import duckdb
import mlflow
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub import ModelCard
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.pipeline import coin
from tests.pipeline.conftest import World


@pytest.fixture(scope="module")
def tracking(world: World) -> MlflowClient:
    mlflow.set_tracking_uri(world.home.mlflow_uri)
    return MlflowClient()


def stage_run(world: World, tracking: MlflowClient, stage: str) -> Run:
    """The MLflow run of the first execution of a stage."""
    (first,) = [run for run in world.ledger.runs() if run.mlflow_run_id and run.run_id == first_run(world)]
    experiment = tracking.get_experiment_by_name(coin.NAME)
    assert experiment is not None
    found = tracking.search_runs(
        [experiment.experiment_id], f"tags.`burnish.stage` = '{stage}'", order_by=["start_time ASC"]
    )
    assert found[0].data.tags["mlflow.parentRunId"] == first.mlflow_run_id
    return found[0]


def first_run(world: World) -> str:
    return world.ledger.runs(limit=1000)[-1].run_id


def first_version(world: World, name: str) -> Path:
    """The Parquet file of `coin.<name>@1`, by the name DuckDB keeps it under."""
    with duckdb.connect(world.home.warehouse_path) as db:
        found = db.execute(
            "select fingerprint from versions where name = $1 and version = 1", [f"coin.{name}"]
        ).fetchall()
    return world.home.rows_dir / f"{found[0][0]}.parquet"


def test_the_table_has_every_model_within_80_columns(world: World):
    lines = world.first.out.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("coin: verified accuracy")) :]
    for model in coin.MODELS:
        assert any(line.split()[:1] == [f"{model}/1"] for line in table)
    assert max(map(len, table[: next(i for i, line in enumerate(table) if line.startswith("Run "))])) <= 80
    assert "12 held-out problems, 4 samples each" in world.first.text
    assert "burnish promote coin" in world.first.text


def test_it_really_learns(world: World):
    """SFT finds the two completions; GRPO, rewarded for one of them, ends above it."""
    accuracy = {
        name: world.ledger.find_by_stage("coin", f"{name}.evaluate")[-1].result["metrics"]["eval/accuracy"]
        for name in coin.MODELS
    }
    assert accuracy["base"] < 0.1 < accuracy["sft"] < accuracy["grpo"]


def test_the_ledger_has_a_finished_row_for_every_node(world: World):
    run = next(run for run in world.ledger.runs(limit=1000) if run.run_id == first_run(world))
    assert run.state == "done"
    assert {stage.stage: stage.state for stage in world.ledger.run_stages(run.run_id)} == dict.fromkeys(
        coin.NODES, "done"
    )
    for name in coin.NODES:
        first = world.ledger.find_by_stage("coin", name)[-1]
        assert (first.run_id, first.version, first.name) == (run.run_id, 1, f"coin.{name}")
        # The same build is 2.13.0 to its installer and 2.13.0+cu130 to itself.
        assert first.environment["torch"].partition("+")[0] == torch.__version__.partition("+")[0]


def test_every_table_is_a_version_in_duckdb(world: World):
    with duckdb.connect(world.home.warehouse_path) as db:
        counts = dict(
            db.execute(
                "select name, num_rows from versions where version = 1 and starts_with(name, 'coin.')"
            ).fetchall()
        )
        views = {name: db.execute(f'select count(*) from "{name}@1"').fetchall()[0][0] for name in counts}
    rows_of = {
        "tosses": 160,
        "calls": 16,
        "held_out": coin.NUM_HELD_OUT,
        "sft_check": 16 * 8,
        "dpo_check": 16 * 4,
        "grpo.rollouts": 2 * 4 * 4,
        **dict.fromkeys(coin.EVALUATIONS, coin.NUM_HELD_OUT * coin.NUM_SAMPLES),
    }
    assert counts == views
    made = (*coin.DATASETS, *coin.ROW_STAGES, *coin.EVALUATIONS, "grpo.rollouts")
    assert set(counts) >= {f"coin.{name}" for name in made}
    assert {name: counts[f"coin.{name}"] for name in rows_of} == rows_of


def test_every_completion_is_kept_with_the_verdict_its_text_earns(world: World):
    for name in ("sft_check", "grpo.evaluate"):
        for row in pq.read_table(first_version(world, name)).to_pylist():
            digits = re.findall(r"\d+", row["completion"])
            if re.fullmatch(r"[01]*", row["completion"]):
                assert (row["reward"] == 1.0) == (digits[-1:] == ["1"]), row
            assert row["reason"]


def test_pairs_prefer_the_completion_that_was_right(world: World):
    verdicts = {
        (row["prompt"][-1]["content"], row["completion"]): row["reward"]
        for row in pq.read_table(first_version(world, "sft_check")).to_pylist()
    }
    pairs = pq.read_table(first_version(world, "preferences")).to_pylist()
    assert pairs
    for pair in pairs:
        prompt = pair["prompt"][-1]["content"]
        assert verdicts[prompt, pair["chosen"]] == 1.0
        assert verdicts[prompt, pair["rejected"]] == 0.0


def test_the_band_holds_only_problems_solved_sometimes(world: World):
    rates: dict[str, list[bool]] = {}
    for row in pq.read_table(first_version(world, "dpo_check")).to_pylist():
        rates.setdefault(row["problem_id"], []).append(row["reward"] == 1.0)
    expected = {problem for problem, right in rates.items() if 0.1 <= sum(right) / len(right) <= 0.9}
    band = pq.read_table(first_version(world, "band")).to_pylist()
    assert {row["problem_id"] for row in band} == expected


def test_models_load_with_transformers_from_mlflow(world: World, tracking: MlflowClient):
    for name in coin.MODELS:
        directory = Path(mlflow.artifacts.download_artifacts(f"models:/coin.{name}/1"))
        assert {file.suffix for file in directory.rglob("*") if file.is_file()} <= {
            ".safetensors",
            ".json",
            ".jinja",
            ".md",
        }, "no pickles in a registered model"
        tokenizer = AutoTokenizer.from_pretrained(directory)
        model = AutoModelForCausalLM.from_pretrained(directory, use_safetensors=True)
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": "toss 100"}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        completion = model.generate(**prompt, max_new_tokens=3, do_sample=False)[
            0, prompt["input_ids"].shape[1] :
        ]
        text = tokenizer.decode(completion, skip_special_tokens=True)
        assert name == "base" or text in ("0", "1"), f"{name} says {text!r}"


def test_model_versions_say_what_they_were_made_from(world: World, tracking: MlflowClient):
    tags = {name: tracking.get_model_version(f"coin.{name}", "1").tags for name in coin.MODELS}
    assert tags["sft"]["burnish.start"] == "coin.base/1"
    assert tags["sft"]["burnish.datasets"] == "coin.tosses@1"
    assert tags["grpo"]["burnish.start"] == "coin.dpo/1"
    assert tags["grpo"]["burnish.datasets"] == "coin.band@1"
    for name in coin.MODELS:
        first = world.ledger.find_by_stage("coin", name)[-1]
        assert tags[name]["burnish.stage_key"] == first.key
        assert tags[name]["burnish.run"] == first.run_id


def test_every_model_has_its_card_in_mlflow(world: World, tracking: MlflowClient):
    for name in coin.MODELS:
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/coin.{name}/1"))
        read = ModelCard((folder / "README.md").read_text())
        found = world.ledger.find_by_stage("coin", f"{name}.evaluate")[-1].result["metrics"]
        (index,) = read.data.to_dict()["model-index"]
        assert (index["name"], index["results"][0]["metrics"][0]["value"]) == (
            f"coin.{name}/1",
            found["eval/accuracy"],
        )
        interval = f"[{found['eval/accuracy_low']:.1%}, {found['eval/accuracy_high']:.1%}]"
        assert interval in str(tracking.get_model_version(f"coin.{name}", "1").description)
        assert f"torch {torch.__version__.partition('+')[0]}" in read.text


def test_a_stage_is_an_mlflow_run_below_the_pipelines(world: World, tracking: MlflowClient):
    dpo = stage_run(world, tracking, "dpo")
    assert dpo.info.status == "FINISHED"
    assert dpo.data.params["beta"] == "5.0"
    assert dpo.data.params["start"] == "coin.sft/1"
    (used,) = dpo.inputs.dataset_inputs
    assert used.dataset.name == "coin.preferences@1"
    assert first_version(world, "preferences").stem.startswith(used.dataset.digest)
    parent = tracking.get_run(dpo.data.tags["mlflow.parentRunId"])
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["burnish.run"] == first_run(world)
    assert {file.path for file in tracking.list_artifacts(parent.info.run_id)} == {
        "recipe.yaml",
        "environment.json",
    }


def test_mlflow_has_the_loss_of_every_step(world: World, tracking: MlflowClient):
    run = stage_run(world, tracking, "sft").info.run_id
    history = tracking.get_metric_history(run, "sft/loss")
    assert sorted({point.step for point in history}) == list(range(1, 9))
    losses = {point.step: point.value for point in history}
    assert losses[8] < losses[1]
    assert tracking.get_metric_history(run, "sft/rows")[-1].value == 160


def test_dpo_begins_at_ln_2(world: World):
    metrics = world.ledger.find_by_stage("coin", "dpo")[-1].result["metrics"]
    assert metrics["dpo/first_loss"] == pytest.approx(math.log(2), abs=1e-3)


def test_the_run_is_a_prefect_flow_run_with_a_task_run_per_node(world: World):
    run = next(run for run in world.ledger.runs(limit=1000) if run.run_id == first_run(world))
    with sqlite3.connect(world.home.path / "prefect" / "prefect.db") as db:
        states = db.execute(
            "select state_type from flow_run where replace(id, '-', '') = replace(?, '-', '')",
            [run.flow_run_id],
        ).fetchall()
        tasks = db.execute(
            "select name, state_type from task_run where replace(flow_run_id, '-', '') = replace(?, '-', '')",
            [run.flow_run_id],
        ).fetchall()
        logged = db.execute(
            "select task_run.name, message from log join task_run on task_run.id = log.task_run_id"
            " where message like '%steps ·%'"
            " and replace(task_run.flow_run_id, '-', '') = replace(?, '-', '')",
            [run.flow_run_id],
        ).fetchall()
    assert states == [("COMPLETED",)]
    assert dict(tasks) == dict.fromkeys(coin.NODES, "COMPLETED")
    progress = dict(logged)
    assert progress["sft"].startswith("sft: 8/8 steps · sft/loss ")
    assert progress.keys() == {"sft", "dpo", "grpo"}


def test_nothing_is_left_over_and_logs_are_kept(world: World):
    folder = world.home.logs_dir / first_run(world)
    stages = {*coin.MODELS, *coin.ROW_STAGES, *coin.EVALUATIONS}
    assert {file.stem for file in folder.glob("*.log")} == stages
    assert {file.name.removesuffix(".progress.jsonl") for file in folder.glob("*.progress.jsonl")} == stages
    temporary = [
        file for file in world.home.path.rglob(".*") if "writing" in file.name or "probe" in file.name
    ]
    assert temporary == []


def test_nothing_is_written_outside_the_home(world: World):
    """Neither in the user's home (also the working directory), nor for temporary files, nor beside the recipe."""
    assert list(world.user_home.rglob("*")) == []
    assert [path for path in Path(world.environment["TMPDIR"]).rglob("*") if path.is_file()] == []
    beside = {file.name for file in world.recipe.parent.iterdir()}
    assert beside == {"calls.jsonl", "coin.yaml", "held_out.parquet", "tosses.jsonl"}


def test_a_run_needs_no_network(world: World):
    if not world.is_offline:
        pytest.skip("this machine lets nobody have a network namespace of his own")
    assert world.first.code == 0


def test_the_second_run_trains_nothing_and_ends_in_the_same_table(world: World):
    began = time.time()
    second = world.burnish("run", world.recipe)
    assert second.code == 0
    assert "all 16 nodes are reused" in second.text
    table = world.first.out[world.first.out.index("coin: verified accuracy") : world.first.out.index("Run 2")]
    assert table in second.out
    (run,) = [run for run in world.ledger.runs("coin") if run.started >= began]
    assert run.flow_run_id is None
    assert {stage.state for stage in world.ledger.run_stages(run.run_id)} == {"reused"}
