"""The ledger: one SQLite file that says what was done, why, and with what result.

It is the one truth. A stage's execution is committed last, when its outputs are complete and registered, so
what the ledger names exists. `plan` and `status` read nothing else.
"""

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
create table if not exists runs (
    run_id text primary key, recipe text not null, document text not null, state text not null,
    started real not null, ended real, pid integer not null, pid_started real not null,
    flow_run_id text, mlflow_run_id text, summary text);
create table if not exists run_stages (
    run_id text not null, stage text not null, kind text not null, key text not null, state text not null,
    started real, ended real, detail text not null default '',
    primary key (run_id, stage));
create table if not exists executions (
    execution_id integer primary key, run_id text not null, pipeline text not null, stage text not null,
    kind text not null, key text not null, input_key text not null, identity text not null,
    output text not null, fingerprint text not null, name text not null, version integer not null,
    result text not null, libraries text not null, seconds real not null, ended real not null);
create index if not exists executions_by_key on executions (key);
create index if not exists executions_by_input_key on executions (input_key);
create index if not exists executions_by_stage on executions (pipeline, stage);
create table if not exists decisions (
    decision_id integer primary key, made real not null, kind text not null, model text not null,
    from_version integer, to_version integer, actor text not null, reason text not null, evidence text not null);
create table if not exists file_digests (
    path text primary key, size integer not null, mtime_ns integer not null, inode integer not null,
    digest text not null);
"""

RUNNING, DONE, REUSED, FAILED, SKIPPED, INTERRUPTED, WAITING = (
    "running",
    "done",
    "reused",
    "failed",
    "skipped",
    "interrupted",
    "waiting",
)


@dataclass(frozen=True, slots=True)
class Execution:
    """A finished stage: what it was, and where its result is."""

    run_id: str
    pipeline: str
    stage: str
    kind: str
    key: str
    input_key: str
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


class Ledger:
    """Short transactions from any thread or process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        with self._transaction() as db:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(self._path, timeout=60, isolation_level=None)
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
            self._local.db = db
        db.execute("begin immediate")
        try:
            yield db
        except BaseException:
            db.execute("rollback")
            raise
        db.execute("commit")

    def _query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._transaction() as db:
            return db.execute(sql, parameters).fetchall()

    # Runs

    def begin_run(self, recipe: str, document: dict[str, Any], pid: int, pid_started: float) -> str:
        run_id = time.strftime("%Y%m%d-%H%M%S-") + uuid.uuid4().hex[:4]
        self._query(
            "insert into runs (run_id, recipe, document, state, started, pid, pid_started) values (?,?,?,?,?,?,?)",
            [run_id, recipe, json.dumps(document), RUNNING, time.time(), pid, pid_started],
        )
        return run_id

    def note_run_ids(self, run_id: str, flow_run_id: str | None, mlflow_run_id: str | None) -> None:
        self._query(
            "update runs set flow_run_id = ?, mlflow_run_id = ? where run_id = ?",
            [flow_run_id, mlflow_run_id, run_id],
        )

    def end_run(self, run_id: str, state: str, summary: dict[str, Any] | None) -> None:
        self._query(
            "update runs set state = ?, ended = ?, summary = ? where run_id = ?",
            [state, time.time(), json.dumps(summary), run_id],
        )

    def runs(self, recipe: str | None = None, limit: int = 50) -> list[Run]:
        """Newest first."""
        rows = self._query(
            "select run_id, recipe, document, state, started, ended, pid, pid_started, flow_run_id,"
            " mlflow_run_id, summary from runs where ? is null or recipe = ? order by rowid desc limit ?",
            [recipe, recipe, limit],
        )
        return [Run(*row[:2], json.loads(row[2]), *row[3:10], json.loads(row[10] or "null")) for row in rows]

    def set_stage(self, run_id: str, stage: str, kind: str, key: str, state: str, detail: str = "") -> None:
        """Record how far a run's stage is; times follow from the state."""
        now = time.time()
        started = now if state == RUNNING else None
        ended = None if state in (RUNNING, WAITING) else now
        self._query(
            "insert into run_stages values (?,?,?,?,?,?,?,?) on conflict (run_id, stage) do update set"
            " key = excluded.key, state = excluded.state, started = coalesce(excluded.started, started),"
            " ended = excluded.ended, detail = excluded.detail",
            [run_id, stage, kind, key, state, started, ended, detail],
        )

    def run_stages(self, run_id: str) -> list[RunStage]:
        """In plan order."""
        rows = self._query("select * from run_stages where run_id = ? order by rowid", [run_id])
        return [RunStage(*row) for row in rows]

    # Executions

    def record(self, execution: Execution) -> None:
        self._query(
            "insert into executions (run_id, pipeline, stage, kind, key, input_key, identity, output, fingerprint,"
            " name, version, result, libraries, seconds, ended) values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [
                execution.run_id,
                execution.pipeline,
                execution.stage,
                execution.kind,
                execution.key,
                execution.input_key,
                json.dumps(execution.identity),
                execution.output,
                execution.fingerprint,
                execution.name,
                execution.version,
                json.dumps(execution.result),
                json.dumps(execution.libraries),
                execution.seconds,
                execution.ended,
            ],
        )

    def find_by_key(self, key: str) -> list[Execution]:
        """Executions with this logical key, newest first."""
        return self._executions("key = ?", [key])

    def find_by_input_key(self, input_key: str) -> list[Execution]:
        """Executions of the same config and code on identical inputs, newest first."""
        return self._executions("input_key = ?", [input_key])

    def find_by_stage(self, pipeline: str, stage: str) -> list[Execution]:
        return self._executions("pipeline = ? and stage = ?", [pipeline, stage])

    def find_by_output(self, name: str, version: int) -> list[Execution]:
        return self._executions("name = ? and version = ?", [name, version])

    def _executions(self, condition: str, parameters: Sequence[Any]) -> list[Execution]:
        rows = self._query(
            "select run_id, pipeline, stage, kind, key, input_key, identity, output, fingerprint, name, version,"
            f" result, libraries, seconds, ended from executions where {condition} order by execution_id desc",
            parameters,
        )
        return [
            Execution(
                *row[:6],
                json.loads(row[6]),
                *row[7:11],
                json.loads(row[11]),
                json.loads(row[12]),
                *row[13:],
            )
            for row in rows
        ]

    # Decisions

    def decide(self, decision: Decision) -> None:
        self._query(
            "insert into decisions (made, kind, model, from_version, to_version, actor, reason, evidence)"
            " values (?,?,?,?,?,?,?,?)",
            [
                decision.made,
                decision.kind,
                decision.model,
                decision.from_version,
                decision.to_version,
                decision.actor,
                decision.reason,
                json.dumps(decision.evidence),
            ],
        )

    def decisions(self, model: str | None = None) -> list[Decision]:
        """Newest first."""
        rows = self._query(
            "select made, kind, model, from_version, to_version, actor, reason, evidence from decisions"
            " where ? is null or model = ? order by decision_id desc",
            [model, model],
        )
        return [Decision(*row[:7], json.loads(row[7])) for row in rows]

    # File digests

    def file_digest(self, path: Path, size: int, mtime_ns: int, inode: int) -> str | None:
        """The digest recorded for a file that has not changed since, judged by size, time and inode."""
        rows = self._query(
            "select digest from file_digests where path = ? and size = ? and mtime_ns = ? and inode = ?",
            [str(path), size, mtime_ns, inode],
        )
        return rows[0][0] if rows else None

    def note_file_digest(self, path: Path, size: int, mtime_ns: int, inode: int, digest: str) -> None:
        self._query(
            "insert or replace into file_digests values (?,?,?,?,?)",
            [str(path), size, mtime_ns, inode, digest],
        )
