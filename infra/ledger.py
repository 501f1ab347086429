"""The ledger: one SQLite file that says what was done, why, and with what result.

It is the one truth. A stage's execution is committed last, when its outputs are complete and registered, so
what the ledger names exists. `plan` and `status` read nothing else.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from data_contracts.alarms import Alarm
from infra import records as states
from infra.ledger_file import LedgerFile
from infra.records import RUNNING, WAITING, Decision, Execution, Input, Run, RunStage, Withdrawal


class Ledger(LedgerFile):
    """What is asked of the ledger, and noted in it."""

    # Runs

    def begin_run(self, recipe: str, document: dict[str, Any], pid: int, pid_started: float) -> str:
        """Note that a run began in the process `pid`; returns its id."""
        run_id = time.strftime("%Y%m%d-%H%M%S-") + uuid.uuid4().hex[:4]
        run = Run(run_id, recipe, document, RUNNING, time.time(), None, pid, pid_started, None, None, None)
        self._insert("runs", asdict(run))
        return run_id

    def note_run_ids(self, run_id: str, flow_run_id: str | None, mlflow_run_id: str | None) -> None:
        self._query(
            "update runs set flow_run_id = ?, mlflow_run_id = ? where run_id = ?",
            [flow_run_id, mlflow_run_id, run_id],
        )

    def end_run(self, run_id: str, state: str, summary: dict[str, Any] | None) -> None:
        """Note that a run is over, and with it what of its stages was not."""
        for was, becomes in ((RUNNING, states.INTERRUPTED), (WAITING, states.SKIPPED)):
            self._query(
                "update run_stages set state = ?, ended = ? where run_id = ? and state = ?",
                [becomes, time.time(), run_id, was],
            )
        self._query(
            "update runs set state = ?, ended = ?, summary = ? where run_id = ?",
            [state, time.time(), json.dumps(summary), run_id],
        )

    def runs(self, recipe: str | None = None, limit: int = 50) -> list[Run]:
        """Newest first."""
        query = "select * from runs where ? is null or recipe = ? order by rowid desc limit ?"
        return [Run(**row) for row in self._query(query, [recipe, recipe, limit])]

    def runs_at(self, state: str) -> list[Run]:
        """Newest first."""
        return [
            Run(**row)
            for row in self._query("select * from runs where state = ? order by rowid desc", [state])
        ]

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
        return [RunStage(**row) for row in rows]

    # Alarms

    def note_alarm(self, run_id: str, stage: str, alarm: Alarm) -> None:
        """Once, however often a stage that is continued tells it."""
        values = [run_id, stage, alarm.step, alarm.name, alarm.model_dump_json()]
        self._query("insert or ignore into alarms values (?,?,?,?,?)", values)

    def alarms(self, run_id: str) -> list[tuple[str, Alarm]]:
        """Stages of a run with their alarms, in the order of their steps."""
        rows = self._query("select stage, alarm from alarms where run_id = ? order by step", [run_id])
        return [(row["stage"], Alarm.model_validate(row["alarm"])) for row in rows]

    # Executions

    def record(self, execution: Execution) -> None:
        self._insert("executions", asdict(execution))

    def find_by_key(self, key: str) -> list[Execution]:
        """Executions with this logical key, newest first."""
        return self._executions("key = ?", [key])

    def find_by_input_key(self, input_key: str) -> list[Execution]:
        """Executions of the same config and code on identical inputs, newest first."""
        return self._executions("input_key = ?", [input_key])

    def find_by_stage(self, pipeline: str, stage: str, limit: int = -1) -> list[Execution]:
        """Newest first."""
        return self._executions("pipeline = ? and stage = ?", [pipeline, stage], limit)

    def find_by_output(self, name: str, version: int) -> list[Execution]:
        return self._executions("name = ? and version = ?", [name, version])

    def find_by_kind(self, kind: str) -> list[Execution]:
        """Newest first."""
        return self._executions("kind = ?", [kind])

    def find_by_input(self, kind: str, fingerprint: str) -> list[Execution]:
        """Executions of a kind that were given this content, newest first."""
        return self._executions("kind = ? and instr(inputs, ?) > 0", [kind, f'"{fingerprint}"'])

    def executions(self) -> list[Execution]:
        """All of them, newest first."""
        return self._executions("true", [])

    def note_code(self, parts: Mapping[str, Mapping[str, str]]) -> None:
        """Keep what fingerprints of code stand for, so that a later plan can say which file changed."""
        with self._connection() as db:
            known = "insert or ignore into code_parts values (?,?)"
            db.executemany(known, [[name, json.dumps(dict(files))] for name, files in parts.items()])

    def code_parts(self, code: str) -> dict[str, str]:
        """Digests of the files that code with this fingerprint consists of; empty when nobody noted them."""
        rows = self._query("select parts from code_parts where fingerprint = ?", [code])
        return rows[0]["parts"] if rows else {}

    def _executions(self, condition: str, parameters: Sequence[Any], limit: int = -1) -> list[Execution]:
        columns = ", ".join(field.name for field in fields(Execution))
        query = f"select {columns} from executions where {condition} order by execution_id desc limit ?"
        rows = self._query(query, [*parameters, limit])
        for row in rows:
            row["inputs"] = tuple(Input(**given) for given in row["inputs"])
        return [Execution(**row) for row in rows]

    # Decisions

    def decide(self, decision: Decision) -> None:
        self._insert("decisions", asdict(decision))

    def decisions(self, model: str | None = None) -> list[Decision]:
        """Newest first."""
        columns = ", ".join(field.name for field in fields(Decision))
        query = f"select {columns} from decisions where ? is null or model = ? order by decision_id desc"
        return [Decision(**row) for row in self._query(query, [model, model])]

    # Withdrawals

    def withdraw(self, withdrawal: Withdrawal) -> int:
        """Note a withdrawal, or the end of one; returns its id."""
        return self._insert("withdrawals", asdict(withdrawal))

    def withdrawals(self) -> list[Withdrawal]:
        """Those in force, oldest first."""
        ended = "select undoes from withdrawals where undoes is not null"
        query = f"select * from withdrawals where undoes is null and withdrawal_id not in ({ended})"
        rows = self._query(f"{query} order by withdrawal_id")
        for row in rows:
            row["untouched"], row["models"] = tuple(row["untouched"]), tuple(row["models"])
        return [Withdrawal(**row) for row in rows]

    # Failures that somebody was told of

    def failure_told(self, deployment: str) -> tuple[str, float] | None:
        """Of a deployment that has not run well since: the failure's words, and when it was told."""
        rows = self._query("select words, told from failures_told where deployment = ?", [deployment])
        return (rows[0]["words"], rows[0]["told"]) if rows else None

    def note_failure_told(self, deployment: str, words: str, told: float) -> None:
        self._query("insert or replace into failures_told values (?,?,?)", [deployment, words, told])

    def forget_failure_told(self, deployment: str) -> None:
        self._query("delete from failures_told where deployment = ?", [deployment])

    # File facts

    def file_fact(self, path: Path, what: str, size: int, mtime_ns: int, inode: int) -> str | None:
        """What was recorded of a file that has not changed since, judged by size, time and inode."""
        rows = self._query(
            "select fact from file_facts where path = ? and what = ? and size = ? and mtime_ns = ? and inode = ?",
            [str(path), what, size, mtime_ns, inode],
        )
        return rows[0]["fact"] if rows else None

    def note_file_fact(self, path: Path, what: str, size: int, mtime_ns: int, inode: int, fact: str) -> None:
        self._query(
            "insert or replace into file_facts values (?,?,?,?,?,?)",
            [str(path), what, size, mtime_ns, inode, fact],
        )
