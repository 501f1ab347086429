"""What differs between two runs: their recipes field by field, and their nodes by what decides a result.

The later of the two is asked what it changed; nothing of this machine, its files or its code is looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data_contracts.stage_configs import AnyConfig, RegisteredModelConfig, VerifyConfig
from flows.causes import own_changes
from flows.dataset_config import DatasetConfig
from flows.drift import drift
from flows.nodes import REGISTERED, Node, evaluation_name
from flows.past_runs import PastStage
from flows.plan_diff import NodeDifference
from flows.recipe import Recipe
from infra.ledger import Ledger
from infra.records import Execution

RUN_SETTINGS = "run"
"""The section of a recipe that decides no result."""


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field of the recipe's document."""

    field: str
    """By dotted name, as `--set` takes it."""

    what: Literal["added", "removed", "changed"]
    before: Any
    after: Any


def recipe_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldDifference]:
    """From one recipe's document to another's; a field that is null is not there."""
    return list(_fields("", before, after))


def node_differences(
    before: Mapping[str, PastStage], after: Sequence[PastStage], recipe: Recipe, ledger: Ledger
) -> list[NodeDifference]:
    """Every node of the later run, whose recipe is given, then those that only the earlier had."""
    found: list[NodeDifference] = []
    for past in after:
        name = past.stage.stage
        found.append(
            _node_difference(before[name], past, recipe, ledger)
            if name in before
            else NodeDifference(name, "added")
        )
    here = {past.stage.stage for past in after}
    return [*found, *(NodeDifference(name, "removed") for name in before if name not in here)]


def _fields(place: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[FieldDifference]:
    for name in [*after, *(name for name in before if name not in after)]:
        was, now = before.get(name), after.get(name)
        field = name if place in ("", "stages", "datasets") else f"{place}.{name}"
        if isinstance(was, dict) and isinstance(now, dict):
            yield from _fields(field, was, now)
        elif was != now:
            what = "added" if was is None else "removed" if now is None else "changed"
            yield FieldDifference(field, what, _without_nulls(was), _without_nulls(now))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return value


def _node_difference(was: PastStage, now: PastStage, recipe: Recipe, ledger: Ledger) -> NodeDifference:
    name = now.stage.stage
    if was.execution is None or now.execution is None:
        where = [which for which, past in (("first", was), ("second", now)) if past.execution is None]
        return NodeDifference(name, "unfinished", (f"no result in the {' and the '.join(where)} run",))
    if was.stage.key == now.stage.key:
        return NodeDifference(name, "same", tuple(_repeated(was.execution, now.execution)))
    changes = own_changes(_node(now.execution, recipe, ledger), was.execution, ledger)
    return NodeDifference(name, "changed" if changes else "inherited", tuple(changes))


def _repeated(was: Execution, now: Execution) -> list[str]:
    """What to say of one identity with two results."""
    if was.fingerprint == now.fingerprint:
        return []
    return ["ran again with another result", *drift(was, now.environment)]


def _node(execution: Execution, recipe: Recipe, ledger: Ledger) -> Node:
    """The node that an execution is of, as it was then."""
    given = [each for each in execution.inputs if each.node != f"{each.name}@{each.version}"]
    return Node(
        name=execution.stage,
        kind=execution.kind,
        config=_config(execution, recipe),
        start=next((each.node for each in given if each.role == "start"), None),
        rows={each.node: each.weight for each in given if each.role == "rows"},
        compare_with=tuple(each.node for each in given if each.role == "compare"),
        identity=execution.identity,
        key=execution.key,
        code_parts={name: ledger.code_parts(name) for name in _fingerprints(execution.identity)},
    )


def _fingerprints(identity: Mapping[str, Any]) -> Iterator[str]:
    """Of code, verifiers and source files: what the ledger may know the parts of."""
    for section in ("code", "verifiers", "sources"):
        yield from identity.get(section, {}).values()


def _config(execution: Execution, recipe: Recipe) -> AnyConfig | DatasetConfig:
    name = execution.stage
    if execution.kind == REGISTERED:
        return RegisteredModelConfig(reference=f"models:/{execution.name}/{execution.version}")
    if name in recipe.datasets:
        return recipe.datasets[name]
    if name in recipe.stages:
        return recipe.stages[name]
    if recipe.evaluate is not None and name.endswith(suffix := evaluation_name("")):
        return VerifyConfig(start=name.removesuffix(suffix), **recipe.evaluate.model_dump())
    return recipe.base
