"""What became of some rows: followed from dataset versions through the ledger's executions to models.

A stage that was given a followed row either made rows of it, which are followed on, or trained on it. Rows are
matched stage by stage, inside what each execution read and made, so that nothing is mixed up between runs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict

from data_contracts.rows import RowKind
from data_contracts.stage_configs import MODEL_KINDS
from infra.home import Home
from infra.records import Execution, Input
from infra.training_rows import read_training_rows
from infra.warehouse.catalog import DatasetVersion
from infra.warehouse.locating import HashSet, HeldRows
from infra.warehouse.manifests import Integers
from infra.warehouse.tracing import count_verdicts, pairs_of_pairs, pairs_of_rollouts, rows_of_same_problem
from infra.warehouse.warehouse import Warehouse

Version: TypeAlias = tuple[str, int]
"""Name and number of a dataset or a model."""


class Use(BaseModel):
    """What one execution did with followed rows of one input."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    stage: str
    kind: str
    made: str
    """`name/version` of the model, or `name@version` of the rows."""

    given: str
    weight: float
    rows: int
    """Training: followed rows that reached the trainer. Else: rows made of followed rows."""

    times: int = 0
    """Training: how often those rows are in one pass."""

    passes: float | None = None
    """Training: passes over all it was given. Below 1 the rows were drawn at most so often."""

    completions: int | None = None
    right: int | None = None
    """Verify: completions with the full reward."""

    chosen: int | None = None
    rejected: int | None = None
    """Pairs: sides that are a followed completion."""

    chosen_reward: float | None = None
    rejected_reward: float | None = None


@dataclass
class Trail:
    """Everywhere that followed rows went."""

    rows: dict[Version, Integers] = field(default_factory=dict[Version, Integers])
    """Positions of followed rows, and of rows made of them, by dataset version."""

    uses: list[Use] = field(default_factory=list[Use])
    models: dict[Version, str] = field(default_factory=dict[Version, str])
    """Models that saw the rows, and how: in training, or through what they were made from."""

    keys: set[str] = field(default_factory=set[str])
    """Stage keys of every execution that comes after the rows, whether or not it used them."""


def follow(
    home: Home, warehouse: Warehouse, executions: Iterable[Execution], held: Iterable[HeldRows]
) -> Trail:
    """Follow rows through executions, given oldest first. Versions that were collected are passed over."""
    trail = Trail({(rows.version.name, rows.version.version): rows.rows for rows in held})
    follower = _Follower(home, warehouse, trail)
    for execution in executions:
        follower.visit(execution)
    return trail


class _Follower:
    """Adds one execution after the other to a trail."""

    def __init__(self, home: Home, warehouse: Warehouse, trail: Trail) -> None:
        self._home, self._warehouse, self._trail = home, warehouse, trail
        self._versions = {(v.name, v.version): v for v in warehouse.versions()}
        self._files: dict[Version, Path] = {}
        self._after: set[Version] = set(trail.rows)
        """Everything made after the rows."""

        self._sampled: dict[Version, str] = {}
        """Rows made by models that saw the rows, and by which."""

    def visit(self, execution: Execution) -> None:
        made, trail = (execution.name, execution.version), self._trail
        if made in trail.rows or any(_version(given) in self._after for given in execution.inputs):
            trail.keys.add(execution.key)
            self._after.add(made)
        number = 0
        for given in execution.inputs:
            if given.role == "start" and _version(given) in trail.models:
                self._inherit(execution, f"{given.name}/{given.version}")
            if given.role == "rows":
                if _version(given) in trail.rows:
                    self._use(execution, given, number)
                if (sampler := self._sampled.get(_version(given))) is not None:
                    self._inherit(execution, sampler)
                number += 1

    def _inherit(self, execution: Execution, through: str) -> None:
        made = (execution.name, execution.version)
        if execution.output == "model":
            self._trail.models.setdefault(made, f"through {through}")
        else:
            self._sampled.setdefault(made, through)

    def _use(self, execution: Execution, given: Input, number: int) -> None:
        rows = self._trail.rows[_version(given)]
        if execution.kind in MODEL_KINDS:
            self._train(execution, given, number, rows)
            return
        source = self._versions.get(_version(given))
        made = self._versions.get((execution.name, execution.version))
        if source is None or made is None:
            return
        facts: dict[str, float | int] = {}
        if execution.kind == "pairs" and source.kind is RowKind.rollouts:
            sides = pairs_of_rollouts(self._file(source), rows, self._file(made))
            found = sides.rows
            facts = {
                "chosen": sides.num_chosen,
                "rejected": sides.num_rejected,
                "chosen_reward": sides.chosen_reward,
                "rejected_reward": sides.rejected_reward,
            }
        elif execution.kind == "pairs":
            found = pairs_of_pairs(self._file(source), rows, self._file(made))
            facts = {"chosen": len(found), "rejected": len(found)}
        elif execution.kind in ("verify", "select", "audit"):
            found = rows_of_same_problem(self._file(source), rows, self._file(made))
        else:
            found = self._selected(source, rows, made)
        if execution.kind == "verify":
            verdicts = count_verdicts(self._file(made), found)
            facts = {"completions": verdicts.completions, "right": verdicts.right}
        if len(found):
            followed = self._trail.rows.get((made.name, made.version), np.empty(0, np.int64))
            self._trail.rows[made.name, made.version] = np.union1d(followed, found)
        self._note(execution, given, rows=len(found), **facts)

    def _train(self, execution: Execution, given: Input, number: int, rows: Integers) -> None:
        trained = read_training_rows(self._home, execution.input_key)
        is_followed = (trained.input == number) & np.isin(trained.row, rows)
        count, times = int(is_followed.sum()), int(trained.times[is_followed].sum())
        passes = execution.result["metrics"][f"{execution.kind}/passes"]
        self._note(execution, given, rows=count, times=times, passes=passes)
        if count:
            self._trail.models[execution.name, execution.version] = f"trained on them in {execution.stage}"

    def _selected(self, source: DatasetVersion, rows: Integers, made: DatasetVersion) -> Integers:
        """Rows that a query or a mix took over: by hash, by problem id, or, where both are gone, all of them."""
        if made.columns == source.columns:
            members = HashSet(self._warehouse.reader.hashes(source)[rows])
            return np.flatnonzero(members.contains(self._warehouse.reader.hashes(made)))
        if all('"problem_id"' in version.columns for version in (source, made)):
            return rows_of_same_problem(self._file(source), rows, self._file(made))
        return np.arange(made.num_rows)

    def _file(self, version: DatasetVersion) -> Path:
        key = version.name, version.version
        if key not in self._files:
            self._files[key] = self._warehouse.reader.file(version)
        return self._files[key]

    def _note(self, execution: Execution, given: Input, **facts: float) -> None:
        mark = "/" if execution.output == "model" else "@"
        document = {
            "pipeline": execution.pipeline,
            "stage": execution.stage,
            "kind": execution.kind,
            "made": f"{execution.name}{mark}{execution.version}",
            "given": f"{given.name}@{given.version}",
            "weight": given.weight,
            **facts,
        }
        self._trail.uses.append(Use.model_validate(document))


def _version(given: Input) -> Version:
    return given.name, given.version
