"""The plan: what a run will do with each stage and why, and what a stage's identity is made of."""

import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from data_contracts import stage_configs, training_configs
from data_contracts.errors import DataError, NotFoundError, RecipeError
from data_contracts.vocabulary import Config
from flows import code_identity
from flows.nodes import adapter_base, make_nodes
from flows.plan import Action, Plan, make_plan, output_path
from flows.recipe import DatasetConfig, Recipe
from flows.recipe_files import check_recipe
from infra.home import Home, open_home
from infra.ledger import Ledger
from tests.factories import SOURCES, finish, make_document, make_execution, make_recipe

RUN, REUSE, DEPENDS, LATER = Action.run, Action.reuse, Action.depends, Action.later


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger(home.ledger_path)


@pytest.fixture
def finished(home: Home, ledger: Ledger) -> Plan:
    """The small recipe with every stage done."""
    finish(make_plan(make_recipe(), home, ledger), home, ledger)
    return make_plan(make_recipe(), home, ledger)


def _actions(plan: Plan) -> dict[str, Action]:
    return {step.node.name: step.action for step in plan.steps}


def test_the_first_time_everything_runs(home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(), home, ledger)
    assert set(_actions(plan).values()) == {RUN}
    assert plan["base"].reason == "first time"
    assert plan["dpo"].reason == "sft, preferences will run"
    assert not plan.is_finished


def test_what_is_recorded_and_on_disk_is_reused(finished: Plan) -> None:
    assert set(_actions(finished).values()) == {REUSE}
    assert finished["dpo"].reason == "run run-1"
    assert finished.is_finished


def test_parents_come_before_their_children_whatever_the_recipes_order(home: Home, ledger: Ledger) -> None:
    document = make_document()
    document["stages"] = dict(reversed(document["stages"].items()))
    names = [step.node.name for step in make_plan(check_recipe(document, "test"), home, ledger).steps]
    assert names == ["worked", "problems", "base", "sft", "check", "preferences", "dpo"]


@pytest.mark.parametrize("stage", ["sft", "check"])
def test_a_stage_whose_output_is_gone_runs_again(
    stage: str, finished: Plan, home: Home, ledger: Ledger
) -> None:
    output = output_path(home, make_execution(finished[stage].node))
    (output / "model.safetensors" if output.is_dir() else output).unlink()
    plan = make_plan(make_recipe(), home, ledger)
    assert (plan[stage].action, plan[stage].reason) == (RUN, "its output is gone")


def test_children_of_a_stage_that_runs_again_wait_for_its_content(
    finished: Plan, home: Home, ledger: Ledger
) -> None:
    output_path(home, make_execution(finished["check"].node)).unlink()
    plan = make_plan(make_recipe(), home, ledger)
    assert _actions(plan) == {
        "worked": REUSE,
        "problems": REUSE,
        "base": REUSE,
        "sft": REUSE,
        "check": RUN,
        "preferences": DEPENDS,
        "dpo": DEPENDS,
    }
    assert plan["preferences"].reason == "check will run; reused if the output is identical"


def test_a_changed_field_reruns_its_stage_and_says_which_field(
    finished: Plan, home: Home, ledger: Ledger
) -> None:
    plan = make_plan(make_recipe({"stages.dpo.beta": 4}), home, ledger)
    assert {name for name, action in _actions(plan).items() if action is not REUSE} == {"dpo"}
    assert plan["dpo"].reason == "dpo.beta 5.0 → 4.0"


def test_a_changed_stage_reruns_what_is_below_and_nothing_above(
    finished: Plan, home: Home, ledger: Ledger
) -> None:
    plan = make_plan(make_recipe({"stages.check.samples": 8}), home, ledger)
    assert {name for name, action in _actions(plan).items() if action is RUN} == {
        "check",
        "preferences",
        "dpo",
    }
    assert plan["check"].reason == "check.samples 4 → 8"
    assert plan["preferences"].reason == "check will run"


def test_a_stage_changed_itself_names_its_own_change_before_its_parents(
    finished: Plan, home: Home, ledger: Ledger
) -> None:
    plan = make_plan(make_recipe({"stages.check.samples": 8, "stages.dpo.beta": 4}), home, ledger)
    assert plan["dpo"].reason == "dpo.beta 5.0 → 4.0"


def test_a_changed_edge_is_no_lost_output(finished: Plan, home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe({"stages.dpo.start": "base"}), home, ledger)
    assert (plan["dpo"].action, plan["dpo"].reason) == (RUN, "made from other inputs than before")


def test_another_seed_reruns_everything_and_says_so(finished: Plan, home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe({"seed": 8}), home, ledger)
    assert set(_actions(plan).values()) == {RUN}
    assert plan["base"].reason == "seed 7 → 8"


def test_a_change_taken_back_is_reused_again(finished: Plan, home: Home, ledger: Ledger) -> None:
    finish(make_plan(make_recipe({"stages.dpo.beta": 4}), home, ledger), home, ledger, ["dpo"])
    assert make_plan(make_recipe(), home, ledger).is_finished


def test_a_forced_stage_runs_and_its_children_wait(finished: Plan, home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(), home, ledger, force=["preferences"])
    assert (plan["preferences"].action, plan["preferences"].reason) == (RUN, "forced")
    assert plan["dpo"].action is DEPENDS
    assert plan["check"].action is REUSE


def test_until_leaves_out_what_its_stage_does_not_need(home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe(), home, ledger, until="sft")
    assert _actions(plan) == {
        "worked": RUN,
        "problems": LATER,
        "base": RUN,
        "sft": RUN,
        "check": LATER,
        "preferences": LATER,
        "dpo": LATER,
    }
    assert plan["dpo"].reason == "after sft"


def test_a_plan_is_finished_when_all_before_until_is(home: Home, ledger: Ledger) -> None:
    finish(make_plan(make_recipe(), home, ledger), home, ledger, ["worked", "base", "sft"])
    assert make_plan(make_recipe(), home, ledger, until="sft").is_finished


@pytest.mark.parametrize("option", [{"force": ["dop"]}, {"until": "dop"}])
def test_an_unknown_stage_on_the_command_line_is_refused(
    option: dict[str, Any], home: Home, ledger: Ledger
) -> None:
    with pytest.raises(NotFoundError, match="There is no stage 'dop'"):
        make_plan(make_recipe(), home, ledger, **option)


def test_every_model_is_evaluated_against_all_models_it_came_from(home: Home, ledger: Ledger) -> None:
    plan = make_plan(make_recipe({"evaluate": {"rows": "problems"}}), home, ledger)
    assert plan["base.evaluate"].node.parents == ("base", "problems")
    assert plan["dpo.evaluate"].node.parents == ("dpo", "problems", "sft.evaluate", "base.evaluate")


@pytest.mark.parametrize(
    ("changes", "cycle"),
    [
        ({"stages.sft.start": "dpo"}, "sft -> dpo -> sft"),
        ({"stages.sft.start": "sft"}, "sft -> sft"),
        ({"datasets.loop": {"sql": "from loop", "rows": ["loop"]}}, "loop -> loop"),
    ],
)
def test_a_circle_is_refused_with_its_stages(changes: dict[str, Any], cycle: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_nodes(make_recipe(changes), SOURCES)
    assert f"circle: {cycle}" in str(caught.value)


@pytest.mark.parametrize("path", ["missing.jsonl", "."])
def test_a_data_file_that_is_none_is_refused(path: str, tmp_path: Path, home: Home, ledger: Ledger) -> None:
    with pytest.raises(DataError, match=r"does not exist|is not a file"):
        make_plan(make_recipe({"datasets.own": {"path": str(tmp_path / path)}}), home, ledger)


def test_a_changed_source_file_reruns_its_dataset_even_when_its_size_stays(
    tmp_path: Path, home: Home, ledger: Ledger
) -> None:
    source = tmp_path / "own.jsonl"
    source.write_text('{"prompt": "1+1", "completion": "2"}')
    recipe = make_recipe({"datasets.own": {"path": str(source)}})
    finish(make_plan(recipe, home, ledger), home, ledger)
    assert make_plan(recipe, home, ledger).is_finished
    source.write_text('{"prompt": "1+2", "completion": "3"}')
    step = make_plan(recipe, home, ledger)["own"]
    assert (step.action, step.reason) == (RUN, "its source changed")


def test_the_same_file_elsewhere_is_the_same_dataset(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.jsonl").write_text("{}")
    keys = {_keys({"datasets.own": {"path": str(tmp_path / f / "own.jsonl")}})["own"] for f in ("a", "b")}
    assert len(keys) == 1


# Identity: every field of every config either decides the result, and is in the key, or is a run setting.


def _keys(changes: dict[str, Any] | None = None) -> dict[str, str]:
    return {node.name: node.key for node in make_nodes(make_recipe(changes), SOURCES)}


_TRAINING: dict[str, Any] = {
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
}
_EPOCH_TRAINING: dict[str, Any] = _TRAINING | {
    "global_batch": 16,
    "steps": 4,
    "epochs": {"epochs": 1, "steps": None},
    "max_length": 77,
}
_SAMPLING: dict[str, Any] = {
    "samples": 3,
    "temperature": 0.7,
    "top_p": 0.9,
    "max_completion_length": 7,
    "limit": 5,
    "batch": 7,
    "sampler": "vllm",
    "dtype": "bfloat16",
}
_HUB = {"hub": "a/b", "hub_revision": "c0ffee"}

BASELINES: dict[type[Config], dict[str, Any]] = {
    stage_configs.SFTConfig: {"kind": "sft", "start": "base", "rows": "worked", "steps": 2},
    training_configs.LoRA: {"start_adapter": "merge"},
    stage_configs.DPOConfig: {"kind": "dpo", "start": "base", "rows": "worked", "steps": 2},
    stage_configs.AuditConfig: {"kind": "audit", "rows": "problems"},
    stage_configs.GRPOConfig: {"kind": "grpo", "start": "base", "rows": "problems", "steps": 12},
    stage_configs.VerifyConfig: {"kind": "verify", "start": "base", "rows": "problems"},
    stage_configs.EvaluateConfig: {"rows": "problems"},
    stage_configs.PairsConfig: {"kind": "pairs", "rows": "check"},
    stage_configs.SelectConfig: {"kind": "select", "rows": "check"},
    stage_configs.BaseModelConfig: {"model": "a/b", "revision": "c0ffee"},
    stage_configs.RunSettings: {},
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
    },
    stage_configs.VerifyConfig: _SAMPLING
    | {"start": "sft", "rows": {"problems": 0.5}, "compare_with": ["check"]},
    stage_configs.EvaluateConfig: _SAMPLING | {"rows": {"problems": 0.5}},
    stage_configs.PairsConfig: {
        "rows": {"check": 0.5},
        "min_margin": 0.1,
        "pairs_per_prompt": 2,
        "max_completion_length": 7,
    },
    stage_configs.SelectConfig: {"rows": {"check": 0.5}, "pass_rate": [0.2, 0.9]},
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
        "max_verdict_seconds": 1.0,
        "seconds": 60,
        "on_findings": "warn",
    },
    stage_configs.BaseModelConfig: {
        "build": {"build": "tiny-qwen3", "model": None, "revision": None},
        "model": "a/c",
        "revision": "beef",
        "path": {"path": "MODEL", "model": None, "revision": None},
    },
    stage_configs.RunSettings: {
        "accelerators": 1,
        "micro_batch": 4,
        "parallel_stages": 2,
        "threads": 3,
        "sandbox": "limited",
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
    Recipe: {"seed": 8, "base": {"model": "a/b", "revision": "c0ffee"}},
}
_DECIDE_NOTHING: dict[type[Config], set[str]] = {
    stage_configs.RunSettings: set(stage_configs.RunSettings.model_fields),
    Recipe: {"name", "run"},
}
_WALKED_BELOW = {"datasets", "stages", "evaluate", "run", "name", "verifiers"}
"""Fields of Recipe that hold configs of their own, or name what is published."""

CASES = [(config, field) for config, fields in CHANGES.items() for field in fields]


def _configs() -> set[type[Config]]:
    """Every config a recipe is made of: those of data_contracts that no other inherits from, and flows' two."""
    classes = {c for _, c in inspect.getmembers(stage_configs, inspect.isclass) if issubclass(c, Config)}
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
    place = {
        stage_configs.BaseModelConfig: "base",
        stage_configs.RunSettings: "run",
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


def test_no_run_setting_reaches_any_key() -> None:
    changed = {f"run.{field}": value for field, value in CHANGES[stage_configs.RunSettings].items()}
    assert _keys(changed) == _keys()


# Code

SourceCode = Callable[[str], str]


@pytest.fixture
def fingerprint_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SourceCode]:
    """The fingerprint of a stage that imports a helper with this source."""
    stages = tmp_path / "stages"
    stages.mkdir()
    (stages / "__init__.py").touch()
    (stages / "stage.py").write_text(
        "def run():\n    from stages.helper import add\n    import torch\n    return add(1, 2)\n"
    )
    (stages / "bystander.py").write_text("LIMIT = 1\n")
    monkeypatch.setattr(code_identity, "PROJECT", tmp_path)

    def fingerprint_of(helper: str) -> str:
        (stages / "helper.py").write_text(helper)
        _forget()
        return code_identity.code_fingerprint("stages.stage")

    yield fingerprint_of
    _forget()


def _forget() -> None:
    for function in vars(code_identity).values():
        if isinstance(function, functools._lru_cache_wrapper):
            function.cache_clear()


LOGIC = 'def add(a, b):\n    """Sum."""\n    return a + b\n'


@pytest.mark.parametrize(
    "same",
    [
        "# A comment.\ndef add(a, b):\n    return a + b  # another\n",
        '"""A module docstring."""\n\n\ndef add(a, b):\n    return (\n        a\n        + b\n    )\n',
        'def add(a, b):\n    """Another docstring."""\n    return a+b',
    ],
    ids=["comments", "docstring and layout", "another docstring"],
)
def test_comments_docstrings_and_layout_are_no_code(fingerprint_of: SourceCode, same: str) -> None:
    assert fingerprint_of(same) == fingerprint_of(LOGIC)


@pytest.mark.parametrize(
    "other",
    [LOGIC.replace("a + b", "a - b"), LOGIC.replace("(a, b)", "(a, b=1)"), LOGIC + "LIMIT = 1\n"],
)
def test_a_changed_line_of_an_imported_module_is_other_code(fingerprint_of: SourceCode, other: str) -> None:
    assert fingerprint_of(other) != fingerprint_of(LOGIC)


def test_code_that_is_not_imported_decides_nothing(fingerprint_of: SourceCode, tmp_path: Path) -> None:
    before = fingerprint_of(LOGIC)
    (tmp_path / "stages" / "bystander.py").write_text("LIMIT = 2\n")
    assert fingerprint_of(LOGIC) == before


def test_changed_code_reruns_its_stage_and_says_so(
    finished: Plan, home: Home, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = code_identity.code_fingerprint

    def changed(module: str) -> str:
        return "changed" if module == "stages.dpo" else original(module)

    monkeypatch.setattr("flows.nodes.code_fingerprint", changed)
    plan = make_plan(make_recipe(), home, ledger)
    assert {name for name, action in _actions(plan).items() if action is RUN} == {"dpo"}
    assert plan["dpo"].reason == "code of stages.dpo changed"


def test_the_weights_below_a_continued_adapter_are_those_it_began_on() -> None:
    continued = {"start_adapter": "continue"}
    again = make_document()["stages"]["dpo"] | {"start": "dpo", "lora": continued}
    recipe = make_recipe(
        {"stages.sft.lora": {}, "stages.dpo.lora": continued, "stages.again": again}
        | {"stages.anew": again | {"lora": {"start_adapter": "merge"}}}
    )
    nodes = {node.name: node for node in make_nodes(recipe, SOURCES)}
    found = {name: adapter_base(nodes, name) for name in ("sft", "dpo", "again", "anew")}
    assert found == {"sft": None, "dpo": "base", "again": "base", "anew": None}
