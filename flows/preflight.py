"""The pre-flight: walk the whole recipe before anything computes, so that a mistake costs seconds."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa

from data_contracts.batches import micro_batch_size, rows_per_step, tokens_per_row
from data_contracts.errors import DataError, HomeError, RecipeError
from data_contracts.rows import RowKind
from data_contracts.stage_configs import VerifyConfig
from data_contracts.training_configs import DPOConfig, GRPOConfig, SFTConfig
from flows.dataset_config import DatasetConfig
from flows.datasets import BuiltRows, build_table
from flows.gate_parts import require_parts
from flows.gate_sources import require_sources
from flows.nodes import Node
from flows.plan import Action, Plan, Step
from flows.reward_checks import require_rewards, require_same_rewards
from flows.stored import output_path
from infra.home import Home, free_bytes
from infra.ledger import Ledger
from infra.records import Execution

Prepared = dict[str, BuiltRows]
"""Checked rows by logical key, so that a dataset's task need not read them again."""

_WANTED: dict[str, tuple[RowKind, ...]] = {
    "sft": (RowKind.sft,),
    "dpo": (RowKind.pairs,),
    "grpo": (RowKind.problems,),
    "verify": (RowKind.problems,),
    "pairs": (RowKind.rollouts, RowKind.pairs),
    "select": (RowKind.rollouts,),
    "audit": (RowKind.problems,),
}
_MADE = {
    "verify": RowKind.rollouts,
    "pairs": RowKind.pairs,
    "select": RowKind.problems,
    "audit": RowKind.problems,
}
_TINY_MODEL_BYTES = 4_000_000
_COPIES = 4
"""Of the weights, per model stage: our own, MLflow's, and two of an interrupted stage's optimizer."""


def require_sound(plan: Plan, home: Home) -> Prepared:
    """Raise on the first thing that would stop the run later; return the datasets read on the way."""
    steps = {step.node.name: step for step in plan.steps if step.action is not Action.later}
    for step in steps.values():
        _require_batches(step.node, plan)
        require_rewards(plan.recipe, step.node)
        require_same_rewards(step.node, {step.node.name: step.node for step in plan.steps})
        _require_sampler(step.node)
    _require_template(plan)
    _require_disk(plan, home)
    prepared, kinds, counts = _read_datasets(plan, steps, home)
    for name, step in steps.items():
        _require_row_kinds(name, step.node, kinds)
        _require_enough_rows(name, step.node, counts)
    read = {name: prepared[step.node.key].table for name, step in steps.items() if step.node.key in prepared}
    require_sources(plan, home, read)
    require_parts(plan, home, read)
    return prepared


def _read_datasets(
    plan: Plan, steps: Mapping[str, Step], home: Home
) -> tuple[Prepared, dict[str, RowKind], dict[str, int]]:
    prepared: Prepared = {}
    kinds: dict[str, RowKind] = {}
    counts: dict[str, int] = {}
    tables: dict[str, pa.Table] = {}
    for name, step in steps.items():
        if not isinstance(step.node.config, DatasetConfig):
            kinds[name] = _MADE.get(step.node.kind, RowKind.raw)
        elif step.action is Action.reuse and step.execution is not None:
            kinds[name] = RowKind(step.execution.result["kind"])
            counts[name] = int(step.execution.result["metrics"]["data/rows"])
        else:
            for parent in step.node.parents:
                if parent not in tables:
                    tables[parent] = _reused_table(home, steps[parent].execution)
            built = build_table(home, Ledger(home.ledger_path), plan.recipe, step.node, tables)
            prepared[step.node.key] = built
            tables[name], kinds[name], counts[name] = built.table, built.kind, built.table.num_rows
    return prepared, kinds, counts


def _reused_table(home: Home, execution: Execution | None) -> pa.Table:
    import pyarrow.parquet as pq

    assert execution is not None
    return pq.read_table(output_path(home, execution))  # pyright: ignore[reportUnknownMemberType]


def _require_row_kinds(name: str, node: Node, kinds: Mapping[str, RowKind]) -> None:
    wanted = _WANTED.get(node.kind)
    for parent in node.rows if wanted else ():
        assert wanted is not None
        if kinds[parent] not in wanted:
            raise RecipeError(
                f"Stage {name} ({node.kind}) reads {parent}, whose rows are {kinds[parent]}.",
                " or ".join(wanted),
                _hint(node.kind),
            )
    if node.kind == "select" and any(weight != 1 for weight in node.rows.values()):
        raise RecipeError(
            f"Stage {name} gives weights to its rows, and select keeps or drops whole problems.",
            "a list of verify stages",
            f"Write rows: [{', '.join(node.rows)}].",
        )


def _hint(kind: str) -> str:
    return {
        "sft": "Give messages, or prompt and completion.",
        "dpo": "Name a pairs stage, or a dataset with prompt, chosen and rejected.",
        "grpo": "Name a dataset with prompt and ground_truth, or a select stage.",
        "verify": "Name a dataset with prompt and ground_truth, or a select stage.",
        "pairs": "Name verify stages, or datasets with prompt, chosen and rejected.",
        "select": "Name verify stages.",
        "audit": "Name a dataset with prompt and ground_truth, or a select stage.",
    }[kind]


def _require_enough_rows(name: str, node: Node, counts: Mapping[str, int]) -> None:
    if not isinstance(node.config, SFTConfig | GRPOConfig) or any(p not in counts for p in node.rows):
        return
    found = int(sum(counts[parent] * weight for parent, weight in node.rows.items()))
    if isinstance(node.config, SFTConfig):
        needed, what = node.config.global_batch, f"global_batch = {node.config.global_batch}"
    else:
        prompts, rounds = node.config.prompts_per_step, node.config.steps_per_generation
        needed, what = prompts * rounds, f"prompts_per_step * steps_per_generation = {prompts} * {rounds}"
    if found < needed:
        raise RecipeError(
            f"Stage {name} has {found} rows ({', '.join(node.rows)}).",
            f"at least {needed}: {what}",
            "Give more rows, or a smaller batch.",
        )


def _require_batches(node: Node, plan: Plan) -> None:
    if not isinstance(node.config, SFTConfig | DPOConfig | GRPOConfig):
        return
    try:
        micro_batch_size(rows_per_step(node.config), tokens_per_row(node.config), plan.recipe.run)
    except RecipeError as error:
        raise RecipeError(f"Stage {node.name}: {error.found}", error.expected, error.do) from error


def _require_sampler(node: Node) -> None:
    if (
        isinstance(node.config, GRPOConfig | VerifyConfig)
        and node.config.sampler == "vllm"
        and find_spec("vllm") is None
    ):
        raise RecipeError(
            f"Stage {node.name} says sampler: vllm, but vLLM is not installed.",
            "an installed vLLM, or sampler: transformers",
            f"pip install vllm, or --set {node.name}.sampler=transformers",
        )


def _require_template(plan: Plan) -> None:
    if plan.recipe.base.path is None:
        return
    folder = Path(plan.recipe.base.path)
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        raise RecipeError(
            f"base.path {folder} has no tokenizer_config.json.",
            "a tokenizer beside the weights",
            "Save it with tokenizer.save_pretrained(DIR).",
        )
    try:
        has_template = "chat_template" in json.loads(config.read_text())
    except ValueError as error:
        raise DataError(f"{config} is not JSON: {error}.", "a tokenizer config") from error
    if not has_template and not any(
        (folder / n).exists() for n in ("chat_template.jinja", "chat_template.json")
    ):
        raise RecipeError(
            f"The tokenizer in {folder} has no chat template.",
            "a chat template, which turns messages into tokens",
            "Set tokenizer.chat_template and save the tokenizer; instruct models come with one.",
        )


def _require_disk(plan: Plan, home: Home) -> None:
    path = plan.recipe.base.path
    weights = sum(f.stat().st_size for f in Path(path).glob("*.safetensors")) if path else _TINY_MODEL_BYTES
    models = sum(step.node.makes_model and step.action is Action.run for step in plan.steps)
    needed, free = weights * models * _COPIES, free_bytes(home)
    if needed > free:
        raise HomeError(
            f"{home.path} has {free / 1e9:.1f} GB free.",
            f"{needed / 1e9:.1f} GB for {models} models of {weights / 1e9:.1f} GB, {_COPIES} copies each",
            "Free some space, or set BURNISH_HOME to a larger disk.",
        )
