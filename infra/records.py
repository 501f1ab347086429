"""What the ledger remembers, as plain frozen records."""

from dataclasses import dataclass
from typing import Any

RUNNING, DONE, REUSED, FAILED = "running", "done", "reused", "failed"
SKIPPED, INTERRUPTED, WAITING = "skipped", "interrupted", "waiting"


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
    output: str
    fingerprint: str
    name: str
    """Registered model or dataset."""

    version: int
    result: dict[str, Any]
    libraries: dict[str, str]
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
