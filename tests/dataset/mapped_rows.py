"""Rows mapped as an import maps them, and what some of them become."""

from typing import Any

import pyarrow as pa

from data_contracts.rows import RowKind
from infra.intake.mapping import Defaults, apply_mapping
from infra.intake.shapes import custom_mapping

Row = dict[str, Any]


USER, ASSISTANT = {"role": "user", "content": "1+2"}, {"role": "assistant", "content": "3"}


DEFAULTS = Defaults(source="mine", verifier="exact_number", arguments="{}")


JSON_TEXT = {b"json": b"text"}


def mapped(rows: list[Row] | pa.Table, kind: RowKind | None = None, **maps: str) -> list[Row]:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    return apply_mapping(custom_mapping(table.schema, kind, maps), table, DEFAULTS).to_pylist()


CHAT = {"messages": [USER, ASSISTANT], "source": "mine"}


PAIR = {"prompt": [USER], "chosen": "3", "rejected": "4", "source": "mine"}
