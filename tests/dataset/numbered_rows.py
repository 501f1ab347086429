"""Versions of numbered rows."""

from typing import Any

import pyarrow as pa

from data_contracts.rows import RowKind
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.committing import Origin, Published
from infra.warehouse.integrity import find_damage
from infra.warehouse.warehouse import Warehouse

Rows = list[dict[str, Any]]


def number_rows(*numbers: int) -> Rows:
    return [{"n": number, "text": f"row {number}"} for number in numbers]


def publish_rows(warehouse: Warehouse, rows: Rows, name: str = "numbers", batch: int = 4) -> Published:
    with warehouse.publisher(name, RowKind.raw) as publisher:
        for start in range(0, len(rows), batch):
            publisher.add(pa.Table.from_pylist(rows[start : start + batch]))
        return publisher.publish(Origin())


def read_rows(warehouse: Warehouse, version: DatasetVersion) -> Rows:
    return warehouse.reader.read(version).to_pylist()


def find_all_damage(warehouse: Warehouse, every_row: bool = False) -> list[tuple[str, list[str]]]:
    versions = warehouse.versions()
    found = find_damage(warehouse.home, warehouse.catalog, versions, every_row, lambda done, total: None)
    return [(damage.found, [str(version) for version in damage.versions]) for damage in found]
