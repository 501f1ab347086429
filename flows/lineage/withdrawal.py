"""Withdrawing rows: they leave every later run, and the models that saw them can no longer be promoted.

The ledger has the withdrawals; MLflow's tags are a projection of them. `withdrawn_datasets` says which
datasets they change.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from data_contracts.errors import DataError, NotFoundError, WithdrawnError
from flows.lineage.impact import Impact, Selection, assess, source_rows
from flows.lineage.withdrawn_datasets import full_key
from infra.actor import actor
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Decision, Execution, Withdrawal
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.locating import Mask, find_rows, hashes_from, in_hashes, of_source
from infra.warehouse.warehouse import Warehouse
from infra.warehouse.withdrawn import WithdrawnRows

if TYPE_CHECKING:
    from infra.registry import ModelRegistry

TAG = "burnish.withdrawn"
"""On an MLflow model version that saw withdrawn rows: the reasons."""

_WITHDRAWING = ("withdraw", "withdraw again")
"""Kinds of decisions: the first reason for a withdrawal, and later ones."""


def drop_withdrawn(ledger: Ledger, scopes: Sequence[str], rows: pa.Table) -> tuple[pa.Table, int]:
    """The rows of a dataset that may be used, and how many may not. Raises DataError when none is left."""
    if not scopes:
        return rows, 0
    mask = WithdrawnRows([w for w in ledger.withdrawals() if w.scope in scopes]).mask_of_table(rows)
    if mask.all():
        raise DataError(
            f"All {rows.num_rows} rows were withdrawn.",
            "at least one row that may be used",
            "Take the dataset out of the recipe, or undo a withdrawal: `burnish data withdraw --undo ID`.",
        )
    return (rows.filter(pa.array(~mask)), int(mask.sum())) if mask.any() else (rows, 0)


def withdrawn_masks(ledger: Ledger, warehouse: Warehouse, references: Sequence[str]) -> list[Mask]:
    """Per dataset version, which of its rows [rows] no mix may take."""
    withdrawn = WithdrawnRows(ledger.withdrawals())
    return [withdrawn.mask_of_version(warehouse, warehouse.get(reference)) for reference in references]


def num_withdrawn(ledger: Ledger, warehouse: Warehouse, version: DatasetVersion) -> int:
    """Rows of a version that are withdrawn: it keeps them, because it never changes."""
    (mask,) = withdrawn_masks(ledger, warehouse, [str(version)])
    return int(mask.sum())


def withdraw(ledger: Ledger, warehouse: Warehouse, selection: Selection, impact: Impact, reason: str) -> int:
    """Take the rows out of every later run; returns the withdrawal's id.

    The same scope again makes no second withdrawal; another reason for it is noted as a decision of its own.
    Raises DataError for rows that a stage made.
    """
    known = in_force(ledger, selection.scope)
    if known is not None and known.withdrawal_id is not None:
        if reason not in _reasons(ledger, known.withdrawal_id):
            _decide(ledger, _WITHDRAWING[1], known, reason, known.withdrawal_id)
        return known.withdrawal_id
    sources = source_rows(ledger, selection)
    if not sources:
        made = ", ".join(str(held.version) for held in selection.held)
        raise DataError(
            f"These are rows of {made}, which a stage made.",
            "rows of a dataset: what stages make of them goes with them",
            "Withdraw the problems or pairs they were made from; `burnish lineage MODEL --rows 5` shows those.",
        )
    models = tuple(seen.model for seen in impact.models)
    withdrawal = Withdrawal(
        made=time.time(),
        scope=selection.scope,
        source=selection.source,
        row_hashes=selection.row_hashes,
        actor=actor(),
        reason=reason,
        untouched=_untouched(ledger, warehouse, {(h.version.name, h.version.version) for h in sources}),
        models=models,
    )
    withdrawal_id = ledger.withdraw(withdrawal)
    _decide(ledger, _WITHDRAWING[0], withdrawal, reason, withdrawal_id)
    return withdrawal_id


def in_force(ledger: Ledger, scope: str) -> Withdrawal | None:
    """The withdrawal of these rows, if there is one."""
    return next((w for w in ledger.withdrawals() if w.scope == scope), None)


def undo(ledger: Ledger, withdrawal_id: int, reason: str) -> Withdrawal:
    """End a withdrawal; returns it. Raises NotFoundError when it is not in force."""
    in_force = {w.withdrawal_id: w for w in ledger.withdrawals()}
    if withdrawal_id not in in_force:
        raise NotFoundError(
            f"No withdrawal {withdrawal_id} is in force.",
            f"one of {', '.join(map(str, in_force))}" if in_force else "a withdrawal; there is none",
        )
    ended = in_force[withdrawal_id]
    end = Withdrawal(
        made=time.time(),
        scope=ended.scope,
        source=None,
        row_hashes=b"",
        actor=actor(),
        reason=reason,
        untouched=(),
        models=(),
        undoes=withdrawal_id,
    )
    ledger.withdraw(end)
    _decide(ledger, "undo withdrawal", ended, reason, withdrawal_id)
    return ended


def flag_models(ledger: Ledger, registry: "ModelRegistry", models: Sequence[str]) -> list[str]:
    """Bring MLflow's tag on these models (`name/version`) up to date; returns those that MLflow has lost."""
    lost: list[str] = []
    for model in models:
        reasons = [f"{w.scope}: {w.reason}" for w in ledger.withdrawals() if model in w.models]
        name, _, version = model.rpartition("/")
        if not registry.tag_version(name, int(version), TAG, "; ".join(reasons) or None):
            lost.append(model)
    return lost


def require_untainted(home: Home, ledger: Ledger, model: str, version: int) -> None:
    """Refuse a model that saw rows withdrawn since, or while it was trained. Raises WithdrawnError."""
    reference, warehouse = f"{model}/{version}", Warehouse(home)
    for withdrawal in ledger.withdrawals():
        if reference in withdrawal.models or reference in _seen_by_now(warehouse, ledger, withdrawal):
            raise WithdrawnError(
                f"{reference} saw rows that were withdrawn: {withdrawal.scope}, because {withdrawal.reason}.",
                "a model that saw none of them",
                f"Run its recipe again without them and promote what comes out; or, if that was a mistake, "
                f"`burnish data withdraw --undo {withdrawal.withdrawal_id}`.",
            )


def _seen_by_now(warehouse: Warehouse, ledger: Ledger, withdrawal: Withdrawal) -> set[str]:
    """Models that saw the rows, those that were being trained at the time included."""
    if withdrawal.source is not None:
        matches = of_source(warehouse, withdrawal.source)
    else:
        matches = in_hashes(warehouse, hashes_from(withdrawal.row_hashes))
    held = find_rows(warehouse, matches)
    selection = Selection(withdrawal.scope, withdrawal.row_hashes, withdrawal.source, held)
    return {seen.model for seen in assess(warehouse.home, ledger, warehouse, selection).models}


def _untouched(ledger: Ledger, warehouse: Warehouse, holding: set[tuple[str, int]]) -> tuple[str, ...]:
    """Keys of datasets that were published in full, are still there, and hold none of the rows."""
    there = {(v.name, v.version) for v in warehouse.versions()}
    touched: set[str] = set()
    missing_none: set[str] = set()
    for execution in ledger.executions():
        if execution.kind != "dataset":
            continue
        key = full_key(execution.identity)
        if (execution.name, execution.version) in holding:
            touched.add(key)
        elif (execution.name, execution.version) in there and _is_full(execution):
            missing_none.add(key)
    return tuple(sorted(missing_none - touched))


def _is_full(execution: Execution) -> bool:
    return not execution.identity.get("withdrawn")


def _reasons(ledger: Ledger, withdrawal_id: int) -> set[str]:
    """All that were given for a withdrawal."""
    made = [decision for decision in ledger.decisions() if decision.kind in _WITHDRAWING]
    return {decision.reason for decision in made if decision.evidence["id"] == withdrawal_id}


def _decide(ledger: Ledger, kind: str, withdrawal: Withdrawal, reason: str, withdrawal_id: int) -> None:
    ledger.decide(
        Decision(
            made=time.time(),
            kind=kind,
            model="",
            from_version=None,
            to_version=None,
            actor=actor(),
            reason=reason,
            evidence={"id": withdrawal_id, "scope": withdrawal.scope, "models": list(withdrawal.models)},
        )
    )
