"""The identity of a node: what decides its result, and nothing else.

    logical key    config without the names of its edges, seed, code, and the logical keys of its parents:
                   known for a whole plan before anything runs
    input key      the same with the parents' content in place of their keys, and of all verifiers those that
                   its rows and rewards name: known once its parents are finished

Two executions with one logical key, or with one input key, have the same result.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.canonical import fingerprint
from data_contracts.rewards import PROBLEM_VERIFIER
from data_contracts.stage_configs import AnyConfig, AuditConfig, GRPOConfig
from data_contracts.training_configs import TrainingConfig
from flows.code_identity import Parts
from flows.dataset_config import DatasetConfig
from flows.recipe import Recipe
from flows.sources import Sources
from infra.records import Execution
from stages.verifiers.shipped import COMPOSITE_NAME, SHIPPED

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
    "gate": "stages.gate",
}
JUDGING = frozenset({"verify", "audit", "grpo"})
"""Kinds whose result verifiers decide."""

_NOT_THE_CONFIGS: dict[str, Any] = {
    **dict.fromkeys(
        ("start", "rows", "compare_with", "against", "path", "version", "reference", "seed"), True
    ),
    "held_out": {"rows"},
}
"""Fields that stand elsewhere in an identity: as parents, as sources, as the seed."""

_PARENTS = ("start", "base", "rows", "compare_with")


@dataclass(frozen=True, slots=True)
class CodeUsed:
    """Which code makes a node: by module, and by verifier; each a fingerprint of its parts."""

    modules: dict[str, str]
    verifiers: dict[str, str]
    parts: dict[str, Parts]
    """Of every fingerprint."""


class CodeOfRecipe:
    """Code of the nodes of one recipe, each module and verifier fingerprinted once."""

    def __init__(self, recipe: Recipe, known: Sources) -> None:
        self._known = known
        self._modules: dict[str, tuple[str, Parts]] = {}
        of_verifiers = known.code.of_verifiers(recipe.verifiers, known.file_digest)
        self._verifiers = {name: self._named(parts) for name, parts in of_verifiers.items()}

    def used_by(self, config: AnyConfig | DatasetConfig) -> CodeUsed:
        is_dataset = isinstance(config, DatasetConfig)
        kind = "dataset" if is_dataset else config.kind
        names = [_CODE[kind]] if kind in _CODE else []
        names += [_CODE["generate"]] if is_dataset and config.generate else []
        modules = {name: self._module(name) for name in names}
        verifiers = self._verifiers if kind in JUDGING else {}
        return CodeUsed(
            {name: used for name, (used, _) in modules.items()},
            {name: used for name, (used, _) in verifiers.items()},
            dict([*modules.values(), *verifiers.values()]),
        )

    def _module(self, name: str) -> tuple[str, Parts]:
        if name not in self._modules:
            self._modules[name] = self._named(self._known.code.of_module(name))
        return self._modules[name]

    def _named(self, parts: Parts) -> tuple[str, Parts]:
        return self._known.accepted(fingerprint(parts)), parts


def identity_of(
    config: AnyConfig | DatasetConfig,
    seed: int,
    code: CodeUsed,
    parents: Mapping[str, Any],
    sources: Mapping[str, str],
) -> dict[str, Any]:
    """`parents` holds logical keys under start, base, rows (with weights), compare_with, and names for SQL."""
    own_seed = getattr(config, "seed", None)
    own = config.model_dump(mode="json", exclude=_NOT_THE_CONFIGS)
    if isinstance(config, TrainingConfig):
        own["alarms"] = config.alarms.decisive()
    identity = {
        "config": own,
        "seed": seed if own_seed is None else own_seed,
        **parents,
        "sources": dict(sources),
        "code": code.modules,
    }
    return identity | ({"verifiers": code.verifiers} if code.verifiers else {})


def input_key(
    identity: Mapping[str, Any], weights: Sequence[float], contents: Sequence[str], judged_by: Collection[str]
) -> str:
    """`contents` are the fingerprints of all parents, in the node's order; `judged_by` names verifiers."""
    own = {name: value for name, value in identity.items() if name not in _PARENTS}
    own["rows"] = list(weights)
    if "verifiers" in own:
        own["verifiers"] = {name: own["verifiers"].get(name) for name in sorted(judged_by)}
    return fingerprint({"own": own, "parents": list(contents)})


def judged_by(config: AnyConfig | DatasetConfig, given: Sequence[Execution]) -> list[str]:
    """The verifiers that rows of `given` and the config's rewards name."""
    if isinstance(config, DatasetConfig) or config.kind not in JUDGING:
        return []
    names = {name for execution in given for name in execution.result.get("verifiers", [])}
    if isinstance(config, GRPOConfig | AuditConfig):
        for name, term in config.rewards.items():
            names.update(verifiers_named(name, term.arguments))
    if isinstance(config, GRPOConfig) and config.held_out and config.held_out.verifier:
        names.add(config.held_out.verifier)
    if isinstance(config, AuditConfig):
        names |= {config.metric} if config.metric else set()
        names |= _second_opinions(names)
    return sorted(names - {PROBLEM_VERIFIER})


def verifiers_named(name: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    """A verifier, and those it is composed of."""
    yield name
    for term in arguments.get("terms", []) if name == COMPOSITE_NAME else []:
        yield from verifiers_named(term["verifier"], term.get("arguments", {}))


def _second_opinions(names: Collection[str]) -> set[str]:
    """Verifiers that an audit holds against these."""
    from stages.verifiers.catalog import Catalog

    catalog = Catalog()
    return {second for name in names if name in SHIPPED and (second := catalog.find(name).second)}
