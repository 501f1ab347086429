"""The concrete way of single rows into a model: which stage made what of them, and which trained on that."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from data_contracts.rows import RowKind
from flows.lineage.models import TRAINED, ancestors
from flows.lineage.trail import Use, Version, follow
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution
from infra.training_rows import read_training_rows
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.locating import HashSet, HeldRows
from infra.warehouse.manifests import Integers
from infra.warehouse.tracing import row_texts, rows_of_same_problem
from infra.warehouse.warehouse import Warehouse


class Step(BaseModel):
    """What one stage did with the row."""

    model_config = ConfigDict(frozen=True)

    use: Use
    chosen: str = ""
    rejected: str = ""
    """Texts of the first pair it became."""


class RowPath(BaseModel):
    """One row of a source dataset and its way."""

    model_config = ConfigDict(frozen=True)

    version: str
    row: int
    row_hash: str
    steps: tuple[Step, ...]


def row_paths(
    home: Home, ledger: Ledger, warehouse: Warehouse, model: Execution, held: Sequence[HeldRows]
) -> list[RowPath]:
    """The way of each row into the model, of those versions that it was made from."""
    executions = ancestors(ledger, model)[::-1]
    sources = {(version.name, version.version) for version in source_versions(ledger, warehouse, model)}
    paths: list[RowPath] = []
    for rows in held:
        version = rows.version
        if (version.name, version.version) not in sources:
            continue
        hashes = warehouse.reader.hashes(version)
        for row in rows.rows.tolist():
            trail = follow(home, warehouse, executions, [HeldRows(version, np.array([row]))])
            steps = tuple(_step(warehouse, use, trail.rows) for use in trail.uses)
            row_hash = hashes[row].tobytes().hex()
            paths.append(RowPath(version=str(version), row=row, row_hash=row_hash, steps=steps))
    return paths


def sample_rows(
    home: Home, ledger: Ledger, warehouse: Warehouse, model: Execution, count: int
) -> list[HeldRows]:
    """Rows of source datasets that reached a trainer on the way to this model, evenly spread."""
    executions = ancestors(ledger, model)
    versions = {(v.name, v.version): v for v in warehouse.versions()}
    sources = source_versions(ledger, warehouse, model)
    trained: dict[Version, list[Integers]] = {}
    for execution in executions:
        if execution.kind in TRAINED:
            given = [i for i in execution.inputs if i.role == "rows"]
            rows = read_training_rows(home, execution.input_key)
            for number, item in enumerate(given):
                trained.setdefault((item.name, item.version), []).append(rows.row[rows.input == number])
    found: list[HeldRows] = []
    for source in sources:
        parts = [
            _traced_back(warehouse, versions[key], np.unique(np.concatenate(rows)), source)
            for key, rows in trained.items()
            if key in versions
        ]
        found += [HeldRows(source, np.array([row])) for row in np.unique(np.concatenate(parts)).tolist()]
    places = np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).astype(int))
    return [found[place] for place in places.tolist()]


def source_versions(ledger: Ledger, warehouse: Warehouse, model: Execution) -> list[DatasetVersion]:
    """Dataset versions below the model that were made from no other."""
    executions = ancestors(ledger, model)
    made_of_rows = {
        (e.name, e.version) for e in executions if any(given.role == "rows" for given in e.inputs)
    }
    given = {(i.name, i.version) for e in executions for i in e.inputs if i.role == "rows"}
    return [v for v in warehouse.versions() if (v.name, v.version) in given - made_of_rows]


def _traced_back(
    warehouse: Warehouse, trained: DatasetVersion, rows: Integers, source: DatasetVersion
) -> Integers:
    """Rows of `source` behind rows that a trainer was given."""
    if trained.columns == source.columns:
        members = HashSet(warehouse.reader.hashes(trained)[rows])
        return np.flatnonzero(members.contains(warehouse.reader.hashes(source)))
    if all('"problem_id"' in version.columns for version in (trained, source)):
        return rows_of_same_problem(warehouse.reader.file(trained), rows, warehouse.reader.file(source))
    return np.empty(0, np.int64)


def _step(warehouse: Warehouse, use: Use, rows: dict[Version, Integers]) -> Step:
    if use.kind != RowKind.pairs or not use.rows:
        return Step(use=use)
    name, _, version = use.made.partition("@")
    path = warehouse.reader.file(warehouse.get(use.made))
    return Step(use=use, **row_texts(path, int(rows[name, int(version)][0]), ("chosen", "rejected")))
