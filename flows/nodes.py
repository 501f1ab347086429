"""The DAG of a recipe: one node per dataset, model and stage, each with its identity and logical key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_contracts.canonical import fingerprint
from data_contracts.errors import RecipeError
from data_contracts.stage_configs import (
    MODEL_KINDS,
    AnyConfig,
    BaseModelConfig,
    EvaluateConfig,
    RegisteredModelConfig,
    VerifyConfig,
)
from data_contracts.training_configs import TrainingConfig
from flows.code_identity import Parts
from flows.identity import CodeOfRecipe, identity_of, input_key, judged_by
from flows.recipe import DatasetConfig, Recipe, is_registered, registered_version
from flows.sources import Sources, model_files
from infra.records import Execution

BASE = "base"
REGISTERED = "registered"


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
    code_parts: Mapping[str, Parts]
    """What the fingerprints of code, and of a model's directory, in the identity stand for."""

    @property
    def parents(self) -> tuple[str, ...]:
        return tuple(filter(None, [self.start, *self.rows, *self.compare_with]))

    @property
    def needs(self) -> tuple[str, ...]:
        """What has to be there first: its parents, and the base, whose chat template every start is held to."""
        is_apart = self.start is not None and BASE not in self.parents
        return (*self.parents, BASE) if is_apart else self.parents

    @property
    def makes_model(self) -> bool:
        return self.kind in (*MODEL_KINDS, REGISTERED)

    def has_accepted_code(self, judges: Iterable[str]) -> bool:
        """Whether a person said that code of it, or of a verifier it is judged by, gives what other code gave."""
        verifiers = self.identity.get("verifiers", {})
        used = [*self.identity["code"].values(), *(verifiers[name] for name in judges if name in verifiers)]
        return any(fingerprint(dict(self.code_parts[code])) != code for code in used)

    def input_key(self, given: Mapping[str, Execution]) -> str:
        """The same for the same content going in, whatever made it. `given` holds all parents."""
        contents = [given[parent].fingerprint for parent in self.parents]
        judges = judged_by(self.config, [given[parent] for parent in self.rows])
        return input_key(self.identity, list(self.rows.values()), contents, judges)


@dataclass(frozen=True, slots=True)
class _Edges:
    """Names of a node's parents."""

    start: str | None = None
    rows: Mapping[str, float] = field(default_factory=dict[str, float])
    compare_with: tuple[str, ...] = ()


def make_nodes(recipe: Recipe, known: Sources) -> list[Node]:
    """All nodes, parents first. Raises RecipeError for a cycle, DataError or NotFoundError for a missing source."""
    graph = _Graph(recipe, known, CodeOfRecipe(recipe, known))
    for name, config in recipe.datasets.items():
        graph.add_dataset(name, config, ())
    graph.add_base(recipe.base)
    for name in recipe.stages:
        graph.add_stage(name, ())
    if recipe.evaluate:
        graph.add_evaluations(recipe.evaluate)
    return list(graph.nodes.values())


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


def needed_for(nodes: Mapping[str, Node], name: str) -> set[str]:
    """`name` and everything that has to be there before it."""
    needed: set[str] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(nodes[name].needs)
    return needed


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


@dataclass
class _Graph:
    """Nodes by name, parents first, while they are added."""

    recipe: Recipe
    known: Sources
    code: CodeOfRecipe
    nodes: dict[str, Node] = field(default_factory=dict[str, "Node"])

    def add_base(self, config: BaseModelConfig) -> None:
        if config.path is None:
            self.add(BASE, config, _Edges(), {})
            return
        files = model_files(Path(config.path), self.known.file_digest)
        node = self.add(BASE, config, _Edges(), {"directory": fingerprint(files)})
        self.nodes[BASE] = replace(node, code_parts={**node.code_parts, fingerprint(files): files})

    def add_dataset(self, name: str, config: DatasetConfig, path: tuple[str, ...]) -> None:
        if name in self.nodes:
            return
        _require_no_cycle(name, path)
        for source in config.rows:
            self.add_dataset(source, self.recipe.datasets[source], (*path, name))
        sources = {"file": self.known.file_digest(Path(config.path))} if config.path else {}
        if config.version:
            dataset, _, number = config.version.partition("@")
            sources = {"version": self.known.find_version(dataset, int(number)).fingerprint}
        node = self.add(name, config, _Edges(rows=dict.fromkeys(config.rows, 1.0)), sources)
        self.nodes[name] = _without_withdrawn(node, self.known.withdrawn(node.identity))

    def add_stage(self, name: str, path: tuple[str, ...]) -> None:
        if name in self.nodes:
            return
        _require_no_cycle(name, path)
        config = self.recipe.stages[name]
        start: str | None = getattr(config, "start", None)
        compared = config.compare_with if isinstance(config, VerifyConfig) else ()
        for parent in filter(None, [start, *config.rows, *compared]):
            if parent in self.recipe.stages:
                self.add_stage(parent, (*path, name))
        if start is not None and is_registered(start):
            start = self._add_registered(start)
        self.add(name, config, _Edges(start, config.rows, compared), {})

    def add_evaluations(self, evaluate: EvaluateConfig) -> None:
        for model in [name for name, node in self.nodes.items() if node.makes_model]:
            compared = tuple(evaluation_name(ancestor) for ancestor in model_ancestors(self.nodes, model))
            config = VerifyConfig(start=model, compare_with=compared, **evaluate.model_dump())
            self.add(evaluation_name(model), config, _Edges(model, evaluate.rows, compared), {})

    def add(
        self, name: str, config: AnyConfig | DatasetConfig, edges: _Edges, sources: Mapping[str, str]
    ) -> Node:
        is_dataset = isinstance(config, DatasetConfig)
        parents = {
            "start": self.nodes[edges.start].key if edges.start else None,
            "base": self.nodes[BASE].key if edges.start else None,
            "rows": [[self.nodes[parent].key, weight] for parent, weight in edges.rows.items()],
            "tables": list(edges.rows) if is_dataset else None,
            "compare_with": [self.nodes[parent].key for parent in edges.compare_with],
        }
        code = self.code.used_by(config)
        identity = identity_of(config, self.recipe.seed, code, parents, sources)
        kind = "dataset" if is_dataset else config.kind
        self.nodes[name] = Node(
            *(name, kind, config, edges.start, edges.rows, edges.compare_with),
            *(identity, fingerprint(identity), code.parts),
        )
        return self.nodes[name]

    def _add_registered(self, reference: str) -> str:
        """`models:/tiny.dpo/3` as a node: the same whatever the recipe that starts from it."""
        model, version = registered_version(reference)
        name = f"{model}.v{version}"
        if name not in self.nodes:
            made = self.known.find_version(model, version)
            node = self.add(
                name, RegisteredModelConfig(reference=reference), _Edges(), {"model": made.fingerprint}
            )
            identity = {**node.identity, "seed": None}
            self.nodes[name] = replace(node, identity=identity, key=fingerprint(identity))
        return name


def _without_withdrawn(node: Node, scopes: list[str]) -> Node:
    """The dataset without rows that were withdrawn: another key whenever rows leave it or come back."""
    if not scopes:
        return node
    identity = {**node.identity, "withdrawn": scopes}
    return replace(node, identity=identity, key=fingerprint(identity))


def _require_no_cycle(name: str, path: tuple[str, ...]) -> None:
    if name in path:
        cycle = " -> ".join([*path[path.index(name) :], name])
        raise RecipeError(
            f"The recipe goes in a circle: {cycle}.",
            "stages that lead from the base to a result",
            "Change the start or rows of one of them.",
        )
