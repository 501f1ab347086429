"""What the ledger remembers, as plain frozen records."""

from dataclasses import dataclass
from typing import Any, Literal

RUNNING, DONE, REUSED, FAILED = "running", "done", "reused", "failed"
SKIPPED, INTERRUPTED, WAITING = "skipped", "interrupted", "waiting"
REFUSED = "refused"
"""Of a gate that did not find what it asks for, and of a run that ended there."""


Role = Literal["start", "base", "rows", "compare"]


@dataclass(frozen=True, slots=True)
class Input:
    """What a stage was given: a registered model, or a dataset version."""

    node: str
    role: Role
    name: str
    version: int
    fingerprint: str
    weight: float


SINCE = "since"
"""Under this a version's result says how its rows differ from those of the version before."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A finished stage: what it was, and where its result is."""

    run_id: str
    pipeline: str
    stage: str
    kind: str
    key: str
    """Logical: config, code, and the parents' logical keys."""

    input_key: str
    """The same with the parents' content in place of their keys."""

    identity: dict[str, Any]
    inputs: tuple[Input, ...]
    """What its result was made from: start and base, then rows, then what it was compared with."""

    output: str
    fingerprint: str
    name: str
    """Registered model or dataset."""

    version: int
    result: dict[str, Any]
    environment: dict[str, str]
    """Library versions and hardware it ran with: what may differ although the identity is the same."""

    seconds: float
    ended: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a recipe."""

    run_id: str
    recipe: str
    document: dict[str, Any]
    state: str
    started: float
    ended: float | None
    pid: int
    pid_started: float
    """Its birth, as `process_identity` tells it."""

    flow_run_id: str | None
    mlflow_run_id: str | None
    summary: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class RunStage:
    """A stage as one run saw it."""

    run_id: str
    stage: str
    kind: str
    key: str
    state: str
    started: float | None
    ended: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A promotion or another choice a person made, append-only."""

    made: float
    kind: str
    model: str
    from_version: int | None
    to_version: int | None
    actor: str
    reason: str
    evidence: dict[str, Any]


PROMOTE, ROLLBACK, BY_HAND = "promote", "rollback", "by hand"
MOVES = (PROMOTE, ROLLBACK, BY_HAND)
"""Kinds of decisions that made a version the champion of its model."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Rows that no later run may use, append-only; or the end of an earlier withdrawal."""

    made: float
    scope: str
    """What was withdrawn, in words that are the same whenever the same is withdrawn again."""

    source: str | None
    """Every row whose `source` is this, of any dataset."""

    row_hashes: bytes
    """16 bytes a row: the others that are withdrawn. Kept here, so that they stay known when the version goes."""

    actor: str
    reason: str
    untouched: tuple[str, ...]
    """Keys of datasets proven to have none of the rows, as they were when this was written."""

    models: tuple[str, ...]
    """`name/version` of the models that had seen the rows by then."""

    undoes: int | None = None
    """The withdrawal that this one ends."""

    withdrawal_id: int | None = None
    """Given by the ledger."""
