"""Make a recipe's datasets: read, select, generate or take a version, bring to their kind, prove them gradable."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from data_contracts.errors import DataError
from data_contracts.rows import Problem, RowKind
from flows.data.hub import load_hub_table
from flows.dataset_config import GENERATED_VERIFIER, DatasetConfig
from flows.lineage.withdrawal import drop_withdrawn
from flows.nodes import Node
from flows.recipe import Recipe
from infra.home import Home
from infra.intake.mapping import Defaults
from infra.intake.whole_tables import normalise, read_file, select_rows
from infra.ledger import Ledger
from infra.warehouse.warehouse import Warehouse
from stages.arithmetic import generate_examples, generate_problems
from stages.verifiers.ground_truths import require_gradable
from stages.verifiers.pool import VerifierPool, shared_pool

_GRADED_ROWS = 1000
"""Ground truths tried per dataset, evenly spread: symbolic verifiers take milliseconds each."""


@dataclass(frozen=True, slots=True)
class BuiltRows:
    """The rows of a dataset, ready to be published."""

    kind: RowKind
    table: pa.Table
    num_withdrawn: int
    """Rows that were left out because somebody withdrew them."""


def build_table(
    home: Home, ledger: Ledger, recipe: Recipe, node: Node, parents: Mapping[str, pa.Table]
) -> BuiltRows:
    """The rows of one dataset, checked, without those withdrawn. Raises DataError or GroundTruthError."""
    kind, rows = _checked_rows(home, recipe, node, parents)
    table, num_withdrawn = drop_withdrawn(ledger, node.identity.get("withdrawn", []), rows)
    return BuiltRows(kind, table, num_withdrawn)


def _checked_rows(
    home: Home, recipe: Recipe, node: Node, parents: Mapping[str, pa.Table]
) -> tuple[RowKind, pa.Table]:
    config = node.config
    assert isinstance(config, DatasetConfig)
    if config.version:
        warehouse = Warehouse(home)
        version = warehouse.get(config.version)
        return version.kind, warehouse.reader.read(version)
    verifier = config.verifier or (GENERATED_VERIFIER if config.generate else None)
    defaults = Defaults(node.name, verifier, json.dumps(config.arguments))
    rows = _read(recipe, node.name, config, parents)
    if rows.num_rows == 0:
        raise DataError(
            f"Dataset {node.name} has no rows.",
            "at least one row",
            "Check its source, and any filter in its sql.",
        )
    kind, table = normalise(rows, config.kind, f"Dataset {node.name}", defaults)
    if kind is RowKind.problems:
        _require_gradable(node.name, table, shared_pool(recipe.verifiers, recipe.run.sandbox))
    return kind, table


def _read(recipe: Recipe, name: str, config: DatasetConfig, parents: Mapping[str, pa.Table]) -> pa.Table:
    if config.path:
        return read_file(Path(config.path), config.kind)
    if config.sql:
        return select_rows(config.sql, parents, f"dataset {name}")
    if config.hub:
        return load_hub_table(config.hub, config.hub_config, config.hub_split, config.hub_revision)
    assert config.count is not None
    if config.worked is not None:
        return pa.Table.from_pylist(generate_examples(config.count, config.split, config.worked, recipe.seed))
    return pa.Table.from_pylist(generate_problems(config.count, config.split, recipe.seed))


def _require_gradable(name: str, table: pa.Table, pool: VerifierPool) -> None:
    stride = -(-table.num_rows // _GRADED_ROWS)
    positions = range(0, table.num_rows, stride)
    rows = table.select(list(Problem.model_fields)).take(pa.array(positions)).to_pylist()
    try:
        require_gradable(rows, pool)
    except DataError as error:
        every = f" (every {stride}th row was tried)" if stride > 1 else ""
        raise type(error)(f"Dataset {name}{every}: {error.found}", error.expected, error.do) from error
