"""Identity: every field of every config either decides the result, and is in the key, or is a run setting."""

import inspect
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from data_contracts import alarms, stage_configs, training_configs
from data_contracts.vocabulary import Config
from flows.code_identity import Code
from flows.dataset_config import DatasetConfig
from flows.graph import make_nodes
from flows.recipe import Recipe
from flows.recipe_files import check_recipe
from tests.factories import SOURCES, make_document, make_recipe, read_source_once


def test_the_same_file_elsewhere_is_the_same_dataset(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.jsonl").write_text("{}")
    keys = {_keys({"datasets.own": {"path": str(tmp_path / f / "own.jsonl")}})["own"] for f in ("a", "b")}
    assert len(keys) == 1


# Identity: every field of every config either decides the result, and is in the key, or is a run setting.


def _keys(changes: dict[str, Any] | None = None) -> dict[str, str]:
    sources = replace(SOURCES, code=Code(read_source_once))
    return {node.name: node.key for node in make_nodes(make_recipe(changes), sources)}


_TRAINING: dict[str, Any] = {
    "seed": 8,
    "start": "sft",
    "rows": {"worked": 0.5},
    "learning_rate": 0.1,
    "schedule": "cosine",
    "warmup_steps": 1,
    "weight_decay": 0.1,
    "adam_beta2": 0.9,
    "max_grad_norm": 0.5,
    "lora": {},
    "dtype": "bfloat16",
    "alarms": {"stall": "halve_learning_rate"},
}


_EPOCH_TRAINING: dict[str, Any] = _TRAINING | {
    "global_batch": 16,
    "steps": 4,
    "epochs": {"epochs": 1, "steps": None},
    "max_length": 77,
}


_SAMPLING: dict[str, Any] = {
    "seed": 8,
    "samples": 3,
    "temperature": 0.7,
    "top_p": 0.9,
    "max_completion_length": 7,
    "limit": 5,
    "batch": 7,
    "sampler": "vllm",
    "dtype": "bfloat16",
}


BASELINES: dict[type[Config], dict[str, Any]] = {
    stage_configs.SFTConfig: {"kind": "sft", "start": "base", "rows": "worked", "steps": 2},
    training_configs.LoRA: {"start_adapter": "merge"},
    training_configs.HeldOutConfig: {"rows": "worked"},
    alarms.AlarmPolicy: {},
    stage_configs.DPOConfig: {"kind": "dpo", "start": "base", "rows": "worked", "steps": 2},
    stage_configs.AuditConfig: {"kind": "audit", "rows": "problems"},
    stage_configs.GRPOConfig: {"kind": "grpo", "start": "base", "rows": "problems", "steps": 12},
    stage_configs.VerifyConfig: {"kind": "verify", "start": "base", "rows": "problems"},
    stage_configs.EvaluateConfig: {"rows": "problems"},
    stage_configs.PairsConfig: {"kind": "pairs", "rows": "check"},
    stage_configs.SelectConfig: {"kind": "select", "rows": "check"},
    stage_configs.GateConfig: {"kind": "gate", "start": "sft"},
    stage_configs.BaseModelConfig: {"model": "a/b", "revision": "c0ffee"},
    stage_configs.RunSettings: {},
    stage_configs.Notify: {"webhook": "env:HOOK"},
    DatasetConfig: {"hub": "a/b", "hub_revision": "c0ffee"},
    Recipe: {},
}


CHANGES: dict[type[Config], dict[str, Any]] = {
    stage_configs.SFTConfig: _EPOCH_TRAINING | {"packing": True},
    training_configs.LoRA: {
        "rank": 8,
        "alpha": 8,
        "dropout": 0.1,
        "targets": ["q_proj"],
        "start_adapter": "continue",
    },
    stage_configs.DPOConfig: _EPOCH_TRAINING | {"loss": "sigmoid", "beta": 4},
    stage_configs.GRPOConfig: _TRAINING
    | {
        "schedule": "linear",
        "rewards": {"format": 1},
        "combine": "sum",
        "source_weights": {"gsm8k": 0.5},
        "steps": 24,
        "prompts_per_step": 32,
        "group_size": 4,
        "steps_per_generation": 2,
        "num_iterations": 2,
        "beta": 0.1,
        "epsilon_low": 0.1,
        "epsilon_high": 0.3,
        "scale_rewards": "group",
        "loss": "grpo",
        "temperature": 0.7,
        "top_p": 0.9,
        "max_prompt_length": 7,
        "max_completion_length": 7,
        "mask_truncated": True,
        "sampler": "vllm",
        "held_out": {"rows": "worked"},
    },
    training_configs.HeldOutConfig: {
        "rows": ["check"],
        "every": 2,
        "limit": 7,
        "temperature": 0,
        "verifier": "exact_match",
    },
    alarms.AlarmPolicy: dict.fromkeys(sorted(alarms.ALARMS_OF["grpo"]), "back"),
    stage_configs.VerifyConfig: _SAMPLING
    | {"start": "sft", "rows": {"problems": 0.5}, "compare_with": ["check"]},
    stage_configs.EvaluateConfig: _SAMPLING | {"rows": {"problems": 0.5}},
    stage_configs.PairsConfig: {
        "seed": 8,
        "rows": {"check": 0.5},
        "min_margin": 0.1,
        "pairs_per_prompt": 2,
        "max_completion_length": 7,
    },
    stage_configs.SelectConfig: {"rows": {"check": 0.5}, "pass_rate": [0.2, 0.9]},
    stage_configs.GateConfig: {
        "start": "dpo",
        "against": "models:/small.dpo/3",
        "metrics": {"accuracy": {"improve_by": 0.01}},
        "alpha": 0.01,
        "power": 0.9,
        "seed_spread": 0.01,
        "flips": 7,
    },
    stage_configs.AuditConfig: {
        "rows": {"problems": 0.5},
        "rewards": {"format": 1},
        "combine": "sum",
        "metric": "format",
        "fuzz_rows": 7,
        "headroom_rows": 7,
        "max_faults": 0.1,
        "max_false_negatives": 0.1,
        "max_false_positives": 0.1,
        "max_failures": 0.1,
        "max_scripted_reward": 0.1,
        "max_scripted_metric": 0.5,
        "max_verdict_seconds": 3.0,
        "seconds": 60,
        "on_findings": "warn",
    },
    stage_configs.BaseModelConfig: {
        "build": {"build": "tiny-qwen3", "model": None, "revision": None},
        "model": "a/c",
        "revision": "beef",
        "path": {"path": "MODEL", "model": None, "revision": None},
        "version": {"version": "models:/other.base/2", "model": None, "revision": None},
    },
    stage_configs.RunSettings: {
        "accelerators": 1,
        "micro_batch": 4,
        "parallel_stages": 2,
        "threads": 3,
        "sandbox": "limited",
        "checkpoint_minutes": 1.5,
        "checkpoint_steps": 5,
        "keep_checkpoints": 3,
        "notify": {"command": ["true"]},
    },
    stage_configs.Notify: {
        "webhook": "env:OTHER",
        "email": "file:/run/secrets/mail",
        "command": ["true"],
        "on": ["success"],
    },
    DatasetConfig: {
        "kind": "problems",
        "path": {"path": "FILE", "hub": None, "hub_revision": None},
        "version": {"version": "chats@2", "hub": None, "hub_revision": None},
        "hub": "a/c",
        "hub_config": "main",
        "hub_revision": "beef",
        "hub_split": "test",
        "generate": {"generate": "arithmetic", "count": 5, "hub": None, "hub_revision": None},
        "count": 5,
        "split": "rl",
        "worked": 0.25,
        "sql": {"sql": "from worked", "rows": ["worked"], "hub": None, "hub_revision": None},
        "rows": ["worked"],
        "verifier": "format",
        "arguments": {"a": 1},
    },
    Recipe: {"seed": 8, "base": {"model": "a/b", "revision": "c0ffee"}, "promotion": {"alpha": 0.01}},
}


_DECIDE_NOTHING: dict[type[Config], set[str]] = {
    stage_configs.RunSettings: set(stage_configs.RunSettings.model_fields),
    stage_configs.Notify: set(stage_configs.Notify.model_fields),
    Recipe: {"name", "run", "promotion"},
}


_WALKED_BELOW = {"datasets", "stages", "evaluate", "run", "name", "verifiers"}
"""Fields of Recipe that hold configs of their own, or name what is published."""


CASES = [(config, field) for config, fields in CHANGES.items() for field in fields]


def _configs() -> set[type[Config]]:
    """Every config a recipe is made of: those of data_contracts that no other inherits from, and flows' two.

    A registered model is written as a stage's start.
    """
    classes = {c for _, c in inspect.getmembers(stage_configs, inspect.isclass) if issubclass(c, Config)}
    classes.remove(stage_configs.RegisteredModelConfig)
    return {c for c in classes if not any(c in other.__mro__[1:] for other in classes)} | {
        DatasetConfig,
        Recipe,
    }


def _can_change(annotation: Any) -> bool:
    return not (typing.get_origin(annotation) is Literal and len(typing.get_args(annotation)) == 1)


@pytest.mark.parametrize("config", sorted(_configs(), key=lambda c: c.__name__))
def test_every_field_has_a_case_below(config: type[Config]) -> None:
    fields = {name for name, field in config.model_fields.items() if _can_change(field.annotation)}
    if config is Recipe:
        fields -= _WALKED_BELOW
    assert set(CHANGES[config]) == fields


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "own.jsonl").write_text("{}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return {"FILE": str(tmp_path / "own.jsonl"), "MODEL": str(tmp_path / "model")}


@pytest.mark.parametrize(("config", "field"), CASES, ids=[f"{c.__name__}.{f}" for c, f in CASES])
def test_a_field_is_in_the_key_unless_it_decides_nothing(
    config: type[Config], field: str, sources: dict[str, str]
) -> None:
    value = CHANGES[config][field]
    update = value if isinstance(value, dict) and field in value else {field: value}
    update = {
        name: sources.get(item, item) if isinstance(item, str) else item for name, item in update.items()
    }
    before = _placed(config, BASELINES[config])
    after = _placed(config, BASELINES[config] | update)
    is_equal = _keys(before)[_observed(config)] == _keys(after)[_observed(config)]
    assert is_equal == (field in _DECIDE_NOTHING.get(config, set()))


def _placed(config: type[Config], values: dict[str, Any]) -> dict[str, Any]:
    """Where the config's values stand in a recipe."""
    if config is Recipe:
        return values
    if config is training_configs.LoRA:
        return {"stages.sft.lora": {}, "stages.dpo.lora": values}
    if config in (training_configs.HeldOutConfig, alarms.AlarmPolicy):
        grpo = BASELINES[stage_configs.GRPOConfig]
        field = "alarms" if config is alarms.AlarmPolicy else "held_out"
        return {"stages.walked": grpo | {field: values}}
    if config is stage_configs.GateConfig:
        return {"evaluate": {"rows": "problems"}, "stages.walked": values}
    place = {
        stage_configs.BaseModelConfig: "base",
        stage_configs.RunSettings: "run",
        stage_configs.Notify: "run.notify",
        stage_configs.EvaluateConfig: "evaluate",
        DatasetConfig: "datasets.walked",
    }.get(config, "stages.walked")
    return {place: values}


def _observed(config: type[Config]) -> str:
    """The node whose key must change."""
    return {
        training_configs.LoRA: "dpo",
        stage_configs.BaseModelConfig: "base",
        stage_configs.RunSettings: "dpo",
        stage_configs.Notify: "dpo",
        stage_configs.EvaluateConfig: "base.evaluate",
        Recipe: "base",
    }.get(config, "walked")


def test_a_verifier_that_the_recipe_adds_is_in_the_key_of_what_judges_and_of_nothing_else(
    tmp_path: Path,
) -> None:
    file = tmp_path / "own.py"
    file.write_text("OWN = 1")
    rl = {"stages.rl": {"kind": "grpo", "start": "sft", "rows": "problems", "steps": 2}}
    adds = rl | {"verifiers": {"own": f"{file}:OWN"}}
    before, added = _keys(rl), _keys(adds)
    file.write_text("OWN = 1  # the same to Python")
    commented = _keys(adds)
    file.write_text("OWN = 2")
    changed = _keys(adds)
    for name in ("check", "rl"):
        assert len({before[name], added[name], changed[name]}) == 3
    assert (added, before["sft"]) == (commented, changed["sft"])


def test_the_name_of_a_recipe_or_stage_decides_nothing() -> None:
    document = make_document(name="other")
    document["stages"]["tuned"] = document["stages"].pop("sft")
    document["stages"]["check"]["start"] = document["stages"]["dpo"]["start"] = "tuned"
    renamed = {node.name: node.key for node in make_nodes(check_recipe(document, "test"), SOURCES)}
    assert (renamed["tuned"], renamed["dpo"]) == (_keys()["sft"], _keys()["dpo"])


def test_an_alarm_that_ends_a_training_or_is_noted_decides_no_weights() -> None:
    grpo = BASELINES[stage_configs.GRPOConfig]
    told = [{"stall": how} for how in ("note", "off", "pause", "stop")]
    keys = {_keys({"stages.walked": grpo | {"alarms": policy}})["walked"] for policy in told}
    assert keys == {_keys({"stages.walked": grpo})["walked"]}


def test_no_run_setting_reaches_any_key() -> None:
    changed = {f"run.{field}": value for field, value in CHANGES[stage_configs.RunSettings].items()}
    assert _keys(changed) == _keys()


# Beyond fields


def test_a_base_is_its_files_wherever_they_are_and_whatever_is_said_of_them(tmp_path: Path) -> None:
    keys: list[str] = []
    for folder in ("a", "b", "c"):
        model = tmp_path / folder
        model.mkdir()
        (model / "config.json").write_text("{}")
        (model / "model.safetensors").write_bytes(b"weights" if folder != "c" else b"weightz")
        (model / "README.md").write_text(folder)
        keys.append(_keys({"base": {"path": str(model)}})["base"])
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"]
)
def test_one_character_of_any_file_of_a_base_is_another_base(file: str, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"):
        (tmp_path / name).write_text("{ }")
    base = {"base": {"path": str(tmp_path)}}
    before = _keys(base)
    (tmp_path / file).write_text("{}}")
    after = _keys(base)
    assert before["base"] != after["base"]
    assert before["worked"] == after["worked"]


def test_a_seed_of_the_recipes_own_value_changes_nothing() -> None:
    assert _keys({"stages.sft.seed": 7}) == _keys()  # the small recipe's seed


def test_a_registered_start_is_its_weights_whatever_the_seed() -> None:
    start = {"stages.dpo.start": "models:/other.sft/3"}
    first, second = _keys(start), _keys(start | {"seed": 8})
    assert first["other.sft.v3"] == second["other.sft.v3"]
    assert first["dpo"] != second["dpo"]
    assert first["dpo"] != _keys({"stages.dpo.start": "models:/other.sft/4"})["dpo"]


def test_a_module_that_an_own_verifier_imports_from_beside_it_is_in_its_key(tmp_path: Path) -> None:
    own, beside = tmp_path / "own.py", tmp_path / "beside.py"
    own.write_text("from beside import LIMIT\nOWN = LIMIT")
    beside.write_text("LIMIT = 1")
    adds = {"verifiers": {"own": f"{own}:OWN"}}
    before = _keys(adds)["check"]
    beside.write_text("LIMIT = 2")
    assert _keys(adds)["check"] != before


def test_a_reward_model_is_its_files_wherever_they_are(tmp_path: Path) -> None:
    keys: list[str] = []
    for folder, weights in (("a", "1"), ("b", "1"), ("c", "2")):
        model = tmp_path / folder
        model.mkdir()
        (model / "model.safetensors").write_text(weights)
        keys.append(_keys({"verifiers": {"own": {"kind": "reward_model", "model": str(model)}}})["check"])
    assert keys[0] == keys[1] != keys[2]
