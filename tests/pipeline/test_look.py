"""The commands that look at a run, promote its models and talk to them."""

import json
import re
from pathlib import Path

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from flows.recipe_files import read_recipe
from tests.pipeline import coin
from tests.pipeline.coin import write_jsonl
from tests.pipeline.conftest import World
from tests.pipeline.shell import Shell


@pytest.fixture(scope="module")
def first_run(world: World) -> str:
    return world.ledger.runs(limit=1000)[-1].run_id


def test_status_shows_every_stage_of_a_run(shell: Shell, first_run: str):
    shown = shell.run("status", first_run, "--json").json
    assert (shown["recipe"], shown["state"]) == ("coin", "done")
    assert {stage["stage"] for stage in shown["stages"]} == set(coin.NODES)
    table = shell.run("status", first_run).text
    for name in coin.NODES:
        assert f" {name} " in table


def test_samples_are_the_rows_behind_the_accuracy(world: World, shell: Shell, first_run: str):
    rows = shell.run("samples", "sft", first_run, "--limit", "1000", "--json").json
    right = shell.run("samples", "sft", first_run, "--limit", "1000", "--right", "--json").json
    wrong = shell.run("samples", "sft", first_run, "--limit", "1000", "--wrong", "--json").json
    accuracy = world.ledger.find_by_stage("coin", "sft.evaluate")[-1].result["metrics"]["eval/accuracy"]
    assert len(rows) == coin.NUM_HELD_OUT * coin.NUM_SAMPLES
    assert len(right) / len(rows) == pytest.approx(accuracy)
    assert len(right) + len(wrong) == len(rows)
    assert {row["reason"] for row in right} == {"exact match"}
    assert all(re.search("expected 1|no number|expression", row["reason"]) for row in wrong)
    shown = shell.run("samples", "sft", first_run, "--limit", "1", "--right").text
    assert "toss 10" in shown
    assert "exact match" in shown


def test_logs_are_what_the_stages_process_wrote(world: World, shell: Shell, first_run: str):
    kept = (world.home.logs_dir / first_run / "sft.log").read_text()
    assert kept.strip()
    assert shell.run("logs", first_run, "sft").out == kept
    assert shell.run("logs", first_run, "sft", "--follow").out == kept, "a finished stage has no more to say"
    lines = [json.loads(line) for line in shell.run("logs", first_run, "sft", "--json").out.splitlines()]
    assert [line["line"] for line in lines] == kept.splitlines()
    assert {(line["run"], line["stage"]) for line in lines} == {(first_run, "sft")}


def test_models_lists_versions_with_their_accuracy(world: World, shell: Shell):
    listed = {model["uri"]: model for model in shell.run("models", "coin", "--json").json}
    for name in coin.MODELS:
        model = listed[f"models:/coin.{name}/1"]
        evaluation = world.ledger.find_by_stage("coin", f"{name}.evaluate")[-1]
        assert model["accuracy"] == evaluation.result["metrics"]["eval/accuracy"]
    assert "coin.grpo/1" in shell.run("models").text


def test_promotion_moves_champion_keeps_previous_and_is_in_the_ledger(world: World, shell: Shell):
    first = shell.run("promote", "coin.sft/1", "--reason", "better than nothing", "--json").json
    assert (first["version"], first["previous"]) == (1, None)
    again = shell.run("promote", "coin.sft/1")
    assert "is the champion already" in again.text
    (decision,) = world.ledger.decisions("coin.sft")
    assert (decision.kind, decision.from_version, decision.to_version) == ("promote", None, 1)
    assert decision.reason == "better than nothing"
    assert decision.evidence["accuracy"] == first["accuracy"]
    listed = {model["uri"]: model for model in shell.run("models", "--json").json}
    assert listed["models:/coin.sft/1"]["aliases"] == ["champion"]
    assert shell.run("chat", "coin.sft@champion", "--prompt", "toss 100").out.strip() in ("0", "1")


def test_a_pipelines_name_promotes_its_last_model(shell: Shell):
    promoted = shell.run("promote", "coin", "--json").json
    assert promoted["model"] == "coin.grpo"


def test_chat_gives_the_greedy_completion_of_the_model(shell: Shell):
    said = shell.run("chat", "coin.grpo/1", "--prompt", "toss 104", "--max-tokens", "3")
    assert said.code == 0
    assert said.out.strip() == "1", "what GRPO was rewarded for"


def test_the_champion_loads_with_transformers_by_its_alias_and_exported_and_says_what_chat_says(
    world: World, shell: Shell, tmp_path: Path
):
    assert shell.run("promote", "coin.dpo/1").code == 0
    said = shell.run("chat", "coin.dpo@champion", "--prompt", "toss 104", "--max-tokens", "3").out.strip()
    exported = shell.run("export", "coin.dpo@champion", tmp_path / "served")
    assert exported.code == 0, exported.text
    mlflow.set_tracking_uri(world.home.mlflow_uri)
    registered = Path(mlflow.artifacts.download_artifacts("models:/coin.dpo@champion"))
    for directory in (registered, tmp_path / "served"):
        tokenizer = AutoTokenizer.from_pretrained(directory)
        model = AutoModelForCausalLM.from_pretrained(directory, use_safetensors=True)
        turn = [{"role": "user", "content": "toss 104"}]
        prompt = tokenizer.apply_chat_template(
            turn, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        ids = model.generate(**prompt, max_new_tokens=3, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == said


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["status", "nonsense"], ["no run 'nonsense'", "the newest runs"]),
        (["samples", "nonsense", "{first_run}"], ["no completions of 'nonsense'", "grpo.evaluate"]),
        (["logs", "{first_run}", "gpro"], ["no stage 'gpro'", "Did you mean 'grpo'?"]),
        (["logs", "{first_run}", "tosses"], ["wrote no log"]),
        (["promote", "nonsense"], ["'nonsense'", "coin.grpo"]),
        (["promote", "coin.grpo/99"], ["no version '99'", "one of 1"]),
        (["chat", "coin.gpro"], ["no model 'coin.gpro'", "Did you mean 'coin.grpo'?"]),
        (["cancel", "{first_run}"], ["is not running: done", "See `burnish runs`"]),
        (["run", "cion.yaml"], ["no recipe 'cion.yaml'", "burnish init"]),
        (["plan", "{recipe}", "--until", "gpro"], ["no stage 'gpro'", "grpo"]),
        (["run", "{recipe}", "--set", "doo.beta=4"], ["no 'doo'", "Did you mean"]),
        (["run", "{recipe}", "--frce", "sft"], ["--frce", "--force"]),
    ],
    ids=lambda value: " ".join(value) if value[0].islower() else "",
)
def test_a_name_nothing_answers_to_is_the_users_input(
    world: World, shell: Shell, first_run: str, arguments: list[str], parts: list[str]
):
    names = {"recipe": world.recipe, "first_run": first_run}
    outcome = shell.run(*(argument.format(**names) for argument in arguments))
    assert outcome.code == 2
    for part in parts:
        assert part in outcome.text
    assert "Traceback" not in outcome.text


def test_a_shipped_recipe_can_be_printed_and_used(shell: Shell, tmp_path: Path):
    assert "tiny" in shell.run("recipes").text
    mine = tmp_path / "mine.yaml"
    mine.write_text(shell.run("recipes", "tiny").out)
    shipped = Path(shell.run("recipes", "--json").json["tiny"])
    assert read_recipe(mine) == read_recipe(shipped)
    schema = shell.run("recipes", "--schema").json
    assert {"name", "base", "datasets", "stages"} <= set(schema["required"])


SFT_ROWS = [{"prompt": f"toss {i}", "completion": "1", "topic": "coins"} for i in range(8)]
MESSAGES = [
    {"messages": [{"role": "user", "content": f"toss {i}"}, {"role": "assistant", "content": "1"}]}
    for i in range(8)
]
PROBLEMS = [{"prompt": f"toss {i}", "ground_truth": "1"} for i in range(40)]
PAIRS = [{"prompt": f"toss {i}", "chosen": "1", "rejected": "0"} for i in range(8)]


def test_init_writes_a_recipe_for_ones_own_files_that_plans(shell: Shell, tmp_path: Path):
    """Whatever shape and format the rows have, they are read as they are."""
    write_jsonl(tmp_path / "rows.jsonl", SFT_ROWS)
    write_jsonl(tmp_path / "messages.jsonl", MESSAGES)
    write_jsonl(tmp_path / "pairs.jsonl", PAIRS)
    for name, rows in {"problems": PROBLEMS, "messages": MESSAGES}.items():
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    expected = {
        ("--sft", "rows.jsonl", "--problems", "problems.parquet", "--pairs", "pairs.jsonl"): {
            "sft": "sft", "check": "verify", "preferences": "pairs", "dpo": "dpo",
            "second_check": "verify", "band": "select", "grpo": "grpo",
        },
        ("--sft", "messages.jsonl", "--pairs", "pairs.jsonl"): {"sft": "sft", "dpo": "dpo"},
        ("--sft", "messages.parquet"): {"sft": "sft"},
    }  # fmt: skip
    for number, (arguments, stages) in enumerate(expected.items()):
        recipe = tmp_path / f"mine_{number}.yaml"
        made = shell.run("init", recipe, *arguments, cwd=tmp_path)
        assert made.code == 0, made.text
        assert "8 rows, all readable" in made.text
        planned = shell.run("plan", recipe, "--json", home=tmp_path / "home").json
        kinds = {step["name"]: step["kind"] for step in planned["nodes"]}
        assert stages.items() <= kinds.items()
    assert shell.run("init", recipe, "--sft", tmp_path / "rows.jsonl").code == 2
    assert json.dumps(SFT_ROWS[0]) in (tmp_path / "rows.jsonl").read_text(), "sources are never written"
