"""The DAG of a recipe: one node per dataset, model and stage, each with its identity.

The identity of a node is what decides its result: its config without the names of its edges, the logical
keys of its parents, its source files' digests, and the code that runs it. Its logical key is the hash of
that, so a whole plan has keys before anything runs.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_contracts.canonical import fingerprint
from data_contracts.errors import DataError, RecipeError
from data_contracts.stage_configs import MODEL_KINDS, AnyConfig, EvaluateConfig, VerifyConfig
from data_contracts.training_configs import TrainingConfig
from flows.code_identity import code_fingerprint, verifier_code
from flows.lineage.withdrawn_datasets import Withdrawn
from flows.recipe import DatasetConfig, Recipe

_CODE = {
    "dataset": "infra.intake.whole_tables",
    "generate": "stages.arithmetic",
    "base": "stages.base_model",
    "sft": "stages.sft",
    "dpo": "stages.dpo",
    "grpo": "stages.grpo",
    "verify": "stages.verify",
    "pairs": "stages.pairs",
    "select": "stages.select",
    "audit": "stages.audit",
}


_JUDGING = frozenset({"verify", "audit", "grpo"})


@dataclass(frozen=True, slots=True)
class Sources:
    """How the content of what a recipe reads is known without reading it again."""

    file_digest: Callable[[Path], str]
    version_fingerprint: Callable[[str], str]
    """Of a dataset version, `name@3`. Raises NotFoundError."""

    withdrawn: Withdrawn
    """What was withdrawn from a dataset with this identity."""


@dataclass(frozen=True, slots=True)
class Node:
    """One thing to make, and what it is made from."""

    name: str
    kind: str
    config: AnyConfig | DatasetConfig
    start: str | None
    rows: Mapping[str, float]
    """Parents whose output is rows, with weights."""

    compare_with: tuple[str, ...]
    identity: dict[str, Any]
    key: str

    @property
    def parents(self) -> tuple[str, ...]:
        return tuple(filter(None, [self.start, *self.rows, *self.compare_with]))

    @property
    def makes_model(self) -> bool:
        return self.kind in MODEL_KINDS


@dataclass(frozen=True, slots=True)
class _Edges:
    """Names of a node's parents."""

    start: str | None = None
    rows: Mapping[str, float] = field(default_factory=dict[str, float])
    compare_with: tuple[str, ...] = ()


def make_nodes(recipe: Recipe, known: Sources) -> list[Node]:
    """All nodes, parents first. Raises RecipeError for a cycle and DataError for a missing file."""
    nodes: dict[str, Node] = {}
    for name, config in recipe.datasets.items():
        _add_dataset(nodes, recipe, name, config, known, ())
    nodes["base"] = _node("base", recipe.base, recipe, nodes, _Edges(), _base_source(recipe))
    for name in recipe.stages:
        _add_stage(nodes, recipe, name, ())
    if recipe.evaluate:
        _add_evaluations(nodes, recipe, recipe.evaluate)
    return list(nodes.values())


def evaluation_name(stage: str) -> str:
    return f"{stage}.evaluate"


def model_ancestors(nodes: Mapping[str, Node], name: str) -> list[str]:
    """The models `name` was trained from, nearest first, down to the base."""
    chain: list[str] = []
    start = nodes[name].start
    while start is not None:
        chain.append(start)
        start = nodes[start].start
    return chain


def adapter_base(nodes: Mapping[str, Node], name: str) -> str | None:
    """The model below the adapter that stage `name` continues; None for a stage that continues none."""
    below = None
    while _continues(nodes[name].config):
        start = nodes[name].start
        assert start is not None
        name, below = start, nodes[start].start
    return below


def _continues(config: AnyConfig | DatasetConfig) -> bool:
    return (
        isinstance(config, TrainingConfig)
        and config.lora is not None
        and config.lora.start_adapter == "continue"
    )


def _add_dataset(
    nodes: dict[str, Node],
    recipe: Recipe,
    name: str,
    config: DatasetConfig,
    known: Sources,
    path: tuple[str, ...],
) -> None:
    if name in nodes:
        return
    _require_no_cycle(name, path)
    for source in config.rows:
        _add_dataset(nodes, recipe, source, recipe.datasets[source], known, (*path, name))
    sources = {"file": known.file_digest(Path(config.path))} if config.path else {}
    if config.version:
        sources = {"version": known.version_fingerprint(config.version)}
    node = _node(name, config, recipe, nodes, _Edges(rows=dict.fromkeys(config.rows, 1.0)), sources)
    nodes[name] = _without_withdrawn(node, known.withdrawn(node.identity))


def _without_withdrawn(node: Node, scopes: list[str]) -> Node:
    """The dataset without rows that were withdrawn: another key whenever rows leave it or come back."""
    if not scopes:
        return node
    identity = {**node.identity, "withdrawn": scopes}
    return replace(node, identity=identity, key=fingerprint(identity))


def _add_stage(nodes: dict[str, Node], recipe: Recipe, name: str, path: tuple[str, ...]) -> None:
    if name in nodes:
        return
    _require_no_cycle(name, path)
    config = recipe.stages[name]
    start: str | None = getattr(config, "start", None)
    compared = config.compare_with if isinstance(config, VerifyConfig) else ()
    for parent in filter(None, [start, *config.rows, *compared]):
        if parent in recipe.stages:
            _add_stage(nodes, recipe, parent, (*path, name))
    nodes[name] = _node(name, config, recipe, nodes, _Edges(start, config.rows, compared))


def _add_evaluations(nodes: dict[str, Node], recipe: Recipe, evaluate: EvaluateConfig) -> None:
    for model in [name for name, node in nodes.items() if node.makes_model]:
        compared = tuple(evaluation_name(ancestor) for ancestor in model_ancestors(nodes, model))
        config = VerifyConfig(start=model, compare_with=compared, **evaluate.model_dump())
        name = evaluation_name(model)
        nodes[name] = _node(name, config, recipe, nodes, _Edges(model, evaluate.rows, compared))


def _node(
    name: str,
    config: AnyConfig | DatasetConfig,
    recipe: Recipe,
    nodes: Mapping[str, Node],
    edges: _Edges,
    sources: Mapping[str, str] | None = None,
) -> Node:
    is_dataset = isinstance(config, DatasetConfig)
    kind = "dataset" if is_dataset else config.kind
    code = [_CODE[kind], *([_CODE["generate"]] if is_dataset and config.generate else [])]
    identity = {
        "config": config.model_dump(
            mode="json", exclude={"start", "rows", "compare_with", "path", "version"}
        ),
        "seed": recipe.seed,
        "start": nodes[edges.start].key if edges.start else None,
        "base": nodes["base"].key if edges.start else None,
        "rows": [[nodes[parent].key, weight] for parent, weight in edges.rows.items()],
        "tables": list(edges.rows) if is_dataset else None,
        "compare_with": [nodes[parent].key for parent in edges.compare_with],
        "sources": dict(sources or {}),
        "code": {module: code_fingerprint(module) for module in code},
    }
    if kind in _JUDGING and recipe.verifiers:
        identity["verifiers"] = verifier_code(recipe.verifiers)
    return Node(
        name, kind, config, edges.start, edges.rows, edges.compare_with, identity, fingerprint(identity)
    )


def _base_source(recipe: Recipe) -> dict[str, str]:
    if recipe.base.path is None:
        return {}
    return {"directory": model_directory_digest(Path(recipe.base.path))}


def model_directory_digest(path: Path) -> str:
    """Identity of a local model by its files' names, sizes and times: weights are too large to read to plan."""
    if not (path / "config.json").is_file():
        found = "is not a directory" if not path.is_dir() else "has no config.json"
        raise RecipeError(
            f"base.path {path} {found}.",
            "a Hugging Face model directory with config.json, safetensors weights and tokenizer files",
            "Save one with model.save_pretrained(DIR) and tokenizer.save_pretrained(DIR).",
        )
    files = sorted(file for file in path.iterdir() if file.is_file())
    return fingerprint([[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files])


def file_sha256(path: Path) -> str:
    """SHA-256 of a data file. Raises DataError when it is not there."""
    if not path.is_file():
        raise DataError(
            f"{path} does not exist." if not path.exists() else f"{path} is not a file.",
            "a data file",
            "Correct the path in the recipe (relative to its folder), or give it: --set DATASET.path=FILE.",
        )
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_no_cycle(name: str, path: tuple[str, ...]) -> None:
    if name in path:
        cycle = " -> ".join([*path[path.index(name) :], name])
        raise RecipeError(
            f"The recipe goes in a circle: {cycle}.",
            "stages that lead from the base to a result",
            "Change the start or rows of one of them.",
        )
