"""Versions that a person made are executions in the ledger too: plan finds them there, lineage follows them."""

import time
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from data_contracts.canonical import fingerprint
from infra.ledger import Ledger
from infra.records import SINCE, Execution, Input
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.comparing import compare
from infra.warehouse.warehouse import Warehouse

DATA = "data"
"""The pipeline under which the ledger files what no recipe made."""


@dataclass(frozen=True, slots=True)
class DataStep:
    """How a version came to be: the command, what decided its result, and the versions it was made from."""

    command: str
    identity: dict[str, Any]
    parents: tuple[DatasetVersion, ...]


def record_version(
    ledger: Ledger, warehouse: Warehouse, version: DatasetVersion, step: DataStep, seconds: float
) -> None:
    """Note a version once, whoever made it and however often the same command ran."""
    known = ledger.find_by_output(version.name, version.version)
    if any(execution.fingerprint == version.fingerprint for execution in known):
        return
    key = fingerprint(step.identity)
    ledger.record(
        Execution(
            run_id="",
            pipeline=DATA,
            stage=version.name,
            kind=step.command,
            key=key,
            input_key=key,
            identity=step.identity,
            inputs=tuple(
                Input(parent.name, "rows", parent.name, parent.version, parent.fingerprint, 1.0)
                for parent in step.parents
            ),
            output="rows",
            fingerprint=version.fingerprint,
            name=version.name,
            version=version.version,
            result={
                "kind": version.kind.value,
                "metrics": {"data/rows": float(version.num_rows)},
                "notes": [],
                SINCE: _changes_since(warehouse, version),
            },
            environment={library: metadata.version(library) for library in ("duckdb", "pyarrow")},
            seconds=seconds,
            ended=time.time(),
        )
    )


def _changes_since(warehouse: Warehouse, version: DatasetVersion) -> dict[str, int]:
    before = [other for other in warehouse.versions(version.name) if other.version < version.version]
    if not before:
        return {}
    newest = max(before, key=lambda other: other.version)
    found = compare(warehouse.reader, newest, version)
    return {
        "version": newest.version,
        "added": len(found.added),
        "removed": len(found.removed),
        "changed": len(found.changed),
    }
