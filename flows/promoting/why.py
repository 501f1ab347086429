"""Why a model is what is served: who decided it on which evidence, and everything below it down to the rows."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from data_contracts.gates import GateVerdict
from data_contracts.stage_configs import AnyConfig
from flows.lineage.models import ancestors, reference_of
from flows.promoting.behind import datasets_behind, verifiers_behind
from flows.promoting.decisions import OVERRIDE, tenures
from flows.promoting.evaluations import find_evaluation
from flows.suites import GATE
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Decision, Execution
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.warehouse import Warehouse

_CONFIG: TypeAdapter[Any] = TypeAdapter(AnyConfig)
_EDGES = {"start": "base", "rows": ["rows"], "reference": "models:/model/1"}
"""An identity leaves the names of edges out; to read its config again any will do."""


class Decided(BaseModel):
    """The promotion, rollback or take-over that made it champion last."""

    model_config = ConfigDict(frozen=True)

    kind: str
    made: float
    actor: str
    reason: str
    override: str | None
    gate: GateVerdict | None
    is_in_force: bool
    """Whether it is champion now."""


class Evaluated(BaseModel):
    """Its verified accuracy."""

    model_config = ConfigDict(frozen=True)

    accuracy: float
    low: float
    high: float
    """Wilson interval, 95 %."""

    problems: int
    completions: int
    rows: tuple[str, ...]


class Made(BaseModel):
    """A model or rows below it."""

    model_config = ConfigDict(frozen=True)

    reference: str
    kind: str
    fingerprint: str
    given: tuple[str, ...]
    config: dict[str, Any]
    """Fields of the recipe that are not at their default."""


class Rows(BaseModel):
    """A dataset version that no other was read for here."""

    model_config = ConfigDict(frozen=True)

    reference: str
    fingerprint: str
    rows: int | None
    """None where the version is gone from this home."""

    licences: tuple[str, ...]
    """Its own and those of the versions it was made from."""


class Explanation(BaseModel):
    """A version, from the decision to the rows."""

    model_config = ConfigDict(frozen=True)

    model: str
    fingerprint: str
    decided: Decided | None
    """None for a version that never was champion."""

    evaluated: Evaluated | None
    stages: tuple[Made, ...]
    """The model itself first, then what it was made from."""

    datasets: tuple[Rows, ...]
    verifiers: dict[str, str]


def explain(home: Home, ledger: Ledger, warehouse: Warehouse, made: Execution) -> Explanation:
    """Everything that speaks for a version. Reads the ledger and the catalog, no rows."""
    behind = ancestors(ledger, made)
    evaluation = find_evaluation(home, ledger, made)
    judging = [evaluation] if evaluation else []
    of_a_stage = {reference_of(each) for each in behind if each.kind != "dataset"}
    return Explanation(
        model=reference_of(made),
        fingerprint=made.fingerprint,
        decided=_decided(ledger, made),
        evaluated=_evaluated(evaluation) if evaluation else None,
        stages=tuple(_made(each) for each in behind if each.kind != "dataset"),
        datasets=tuple(_rows(warehouse, datasets_behind(*behind, *judging), of_a_stage)),
        verifiers=dict(sorted(verifiers_behind(*behind, *judging).items())),
    )


def _decided(ledger: Ledger, made: Execution) -> Decided | None:
    held = [each for each in tenures(ledger, made.name) if each.version == made.version]
    if not held:
        return None
    move: Decision = held[-1].move
    return Decided(
        kind=move.kind,
        made=move.made,
        actor=move.actor,
        reason=move.reason,
        override=move.evidence.get(OVERRIDE),
        gate=GateVerdict.model_validate(move.evidence[GATE]) if move.evidence.get(GATE) else None,
        is_in_force=held[-1].ended is None,
    )


def _evaluated(evaluation: Execution) -> Evaluated:
    metrics = evaluation.result["metrics"]
    return Evaluated(
        accuracy=metrics["eval/accuracy"],
        low=metrics["eval/accuracy_low"],
        high=metrics["eval/accuracy_high"],
        problems=int(metrics["eval/problems"]),
        completions=int(metrics["eval/completions"]),
        rows=tuple(datasets_behind(evaluation)),
    )


def _made(execution: Execution) -> Made:
    given = [each for each in execution.inputs if each.role in ("start", "rows")]
    return Made(
        reference=reference_of(execution),
        kind=execution.kind,
        fingerprint=execution.fingerprint,
        given=tuple(reference_of(each) for each in given),
        config=_chosen(execution.kind, execution.identity["config"]),
    )


def _chosen(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that differ from their defaults; all of them where a later Burnish has no such config any more."""
    try:
        read = _CONFIG.validate_python({**_EDGES, **config, "kind": kind}, extra="ignore")
    except ValidationError:
        return dict(config)
    chosen = read.model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in chosen.items() if name in config and name != "kind"}


def _rows(warehouse: Warehouse, read: Mapping[str, str], of_a_stage: set[str]) -> Iterable[Rows]:
    versions = {str(version): version for version in warehouse.versions()}
    for reference, content in sorted(read.items()):
        if reference not in of_a_stage:
            version = versions.get(reference)
            yield Rows(
                reference=reference,
                fingerprint=content,
                rows=version.num_rows if version else None,
                licences=tuple(sorted(_licences(versions, reference, set()))),
            )


def _licences(versions: Mapping[str, DatasetVersion], reference: str, seen: set[str]) -> set[str]:
    version = versions.get(reference)
    if version is None or reference in seen:
        return set()
    seen.add(reference)
    own = str(version.origin.get("options", {}).get("licence", ""))
    parents = version.origin.get("parents", {})
    return {own} - {""} | {each for parent in parents for each in _licences(versions, parent, seen)}
