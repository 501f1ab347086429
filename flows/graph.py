"""The DAG of a recipe: its nodes, parents first, each with its identity and logical key."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from data_contracts.canonical import fingerprint
from data_contracts.errors import RecipeError
from data_contracts.gates import CHAMPION, START, GateConfig
from data_contracts.stage_configs import (
    AnyConfig,
    BaseModelConfig,
    RegisteredModelConfig,
    VerifyConfig,
)
from flows.dataset_config import DatasetConfig
from flows.identity import CodeOfRecipe, identity_of
from flows.nodes import BASE, Node, compared_with, evaluation_name, model_ancestors
from flows.recipe import Recipe, is_registered, registered_version
from flows.sources import Sources, model_files


@dataclass(frozen=True, slots=True)
class _Edges:
    """Names of a node's parents."""

    start: str | None = None
    rows: Mapping[str, float] = field(default_factory=dict[str, float])
    compare_with: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()


def make_nodes(recipe: Recipe, known: Sources) -> list[Node]:
    """All nodes, parents first. Raises RecipeError for a cycle, DataError or NotFoundError for a missing source."""
    graph = _Graph(recipe, known, CodeOfRecipe(recipe, known))
    for name, config in recipe.datasets.items():
        graph.add_dataset(name, config, ())
    graph.add_base(recipe.base)
    for name in recipe.stages:
        graph.add_stage(name, ())
    for name in [name for name, node in graph.nodes.items() if node.makes_model and recipe.evaluate]:
        graph.add_evaluation(name)
    return list(graph.nodes.values())


@dataclass
class _Graph:
    """Nodes by name, parents first, while they are added."""

    recipe: Recipe
    known: Sources
    code: CodeOfRecipe
    nodes: dict[str, Node] = field(default_factory=dict[str, "Node"])

    def add_base(self, config: BaseModelConfig) -> None:
        if config.version is not None:
            self._add_version(BASE, config.version)
            return
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
        config, below = self.recipe.stages[name], (*path, name)
        if isinstance(config, GateConfig):
            self._add_gate(name, config, below)
            return
        start: str | None = getattr(config, "start", None)
        compared = compared_with(config)
        for parent in filter(None, [start, *config.rows, *compared]):
            self._add_parent(parent, below)
        gates = tuple(gate for gate in self._gates_of(start) if gate != name)
        for gate in gates:
            self.add_stage(gate, below)
        if start is not None and is_registered(start):
            start = self._add_registered(start)
        self.add(name, config, _Edges(start, config.rows, compared, gates), {})

    def add_evaluation(self, model: str) -> str:
        """The model's verdicts on the recipe's suite, compared with those of the models it was trained from."""
        evaluate, name = self.recipe.evaluate, evaluation_name(model)
        assert evaluate is not None
        if name not in self.nodes:
            compared = tuple(self.add_evaluation(each) for each in model_ancestors(self.nodes, model))
            config = VerifyConfig(start=model, compare_with=compared, **evaluate.model_dump())
            for source in evaluate.rows:
                self._add_parent(source, (name,))
            self.add(name, config, _Edges(model, evaluate.rows, compared), {})
        return name

    def _add_gate(self, name: str, config: GateConfig, path: tuple[str, ...]) -> None:
        """A gate reads verdicts alone: of its model, and of what it is compared with where there is that."""
        model = self._add_model(config.start, path)
        against = self._baseline(model, config.against)
        verdicts = self.add_evaluation(model)
        compared = () if against is None else (self.add_evaluation(self._add_model(against, path)),)
        self.add(name, config, _Edges(rows={verdicts: 1.0}, compare_with=compared), {})

    def _baseline(self, model: str, against: str) -> str | None:
        """The other model: of the recipe, or of the registry."""
        if against == START:
            return self.nodes[model].start
        if against != CHAMPION:
            return against
        config = self.nodes[model].config
        is_known = isinstance(config, RegisteredModelConfig)
        registered = registered_version(config.reference)[0] if is_known else f"{self.recipe.name}.{model}"
        version = self.known.champion(registered)
        return None if version is None else f"models:/{registered}/{version}"

    def _add_model(self, reference: str, path: tuple[str, ...]) -> str:
        if is_registered(reference):
            return self._add_registered(reference)
        self._add_parent(reference, path)
        return reference

    def _add_parent(self, name: str, path: tuple[str, ...]) -> None:
        if name in self.recipe.stages:
            self.add_stage(name, path)

    def _gates_of(self, model: str | None) -> list[str]:
        stages = self.recipe.stages.items()
        return [name for name, each in stages if isinstance(each, GateConfig) and each.start == model]

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
            *(identity, fingerprint(identity), code.parts, edges.gates),
        )
        return self.nodes[name]

    def _add_registered(self, reference: str) -> str:
        """`models:/tiny.dpo/3` as a node: the same whatever the recipe that starts from it."""
        model, version = registered_version(reference)
        name = f"{model}.v{version}"
        if name not in self.nodes:
            self._add_version(name, reference)
        return name

    def _add_version(self, name: str, reference: str) -> None:
        made = self.known.find_version(*registered_version(reference))
        node = self.add(
            name, RegisteredModelConfig(reference=reference), _Edges(), {"model": made.fingerprint}
        )
        identity = {**node.identity, "seed": None}
        self.nodes[name] = replace(node, identity=identity, key=fingerprint(identity))


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
