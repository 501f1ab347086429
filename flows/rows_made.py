"""Rows that stages make: of which kind, and which verifiers they name."""

import json

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.rows import RowKind
from flows.identity import verifiers_named
from flows.suites import GATE
from stages.verifiers.shipped import COMPOSITE_NAME

ROWS_MADE = {
    "verify": RowKind.rollouts,
    "pairs": RowKind.pairs,
    "select": RowKind.problems,
    "audit": RowKind.problems,
    GATE: RowKind.raw,
}


def verifiers_of_rows(rows: pa.Table) -> list[str]:
    """The verifiers that rows name, and those that these are composed of."""
    if "verifier" not in rows.column_names:
        return []
    names = set(rows["verifier"].unique().to_pylist())
    if COMPOSITE_NAME in names:
        composed = rows.filter(pc.field("verifier") == COMPOSITE_NAME)
        for arguments in composed["arguments"].unique().to_pylist():
            names.update(verifiers_named(COMPOSITE_NAME, json.loads(arguments)))
    return sorted(names)
