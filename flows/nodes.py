"""The DAG of a recipe: one node per dataset, model and stage, each with its identity and logical key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.canonical import fingerprint
from data_contracts.stage_configs import (
    MODEL_KINDS,
    AnyConfig,
    VerifyConfig,
)
from data_contracts.training_configs import GRPOConfig, TrainingConfig
from flows.code_identity import Parts
from flows.dataset_config import DatasetConfig
from flows.identity import input_key, judged_by
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

    gates: tuple[str, ...] = ()
    """Gates of the model it starts from: they decide whether it runs, never what comes out."""

    @property
    def parents(self) -> tuple[str, ...]:
        return tuple(filter(None, [self.start, *self.rows, *self.compare_with]))

    @property
    def needs(self) -> tuple[str, ...]:
        """What has to be there first: its parents, the base, whose chat template every start is held to, and gates."""
        is_apart = self.start is not None and BASE not in self.parents
        return (*self.parents, *([BASE] if is_apart else []), *self.gates)

    @property
    def problems(self) -> tuple[str, ...]:
        """Parents whose rows name the verifiers that decide its result."""
        return (*self.rows, *(self.compare_with if self.kind == "grpo" else ()))

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
        judges = judged_by(self.config, [given[parent] for parent in self.problems])
        return input_key(self.identity, list(self.rows.values()), contents, judges)


def compared_with(config: AnyConfig) -> tuple[str, ...]:
    """Rows that a stage is measured by and never makes its result of: other verdicts, held-out problems."""
    if isinstance(config, GRPOConfig):
        return config.held_out.rows if config.held_out else ()
    return config.compare_with if isinstance(config, VerifyConfig) else ()


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
