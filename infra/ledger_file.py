"""The SQLite file below the ledger: its tables, a connection a thread, JSON in its columns."""

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_contracts.errors import HomeError
from infra.ledger_schema import SCHEMA

_DOCUMENTS = (
    *("document", "summary", "identity", "inputs", "result", "environment", "evidence"),
    *("untouched", "models", "parts", "alarm"),
)
"""Columns that hold JSON."""


class LedgerFile:
    """One connection a thread; safe from any thread or process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        try:
            self._connection().executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise HomeError(
                f"The ledger {path} cannot be used: {error}.",
                "the SQLite file that Burnish wrote",
                "Restore it from a backup, or set BURNISH_HOME to another directory.",
            ) from error

    def require_sound(self) -> None:
        """Read all of it. Raises HomeError when SQLite finds damage."""
        try:
            found = [row["integrity_check"] for row in self._query("pragma integrity_check")]
        except sqlite3.DatabaseError as error:
            found = [str(error)]
        if found != ["ok"]:
            raise HomeError(
                f"The ledger {self._path} is damaged: {found[0]}.",
                "the SQLite file that Burnish wrote",
                "Restore it from a backup.",
            )

    def _insert(self, table: str, record: Mapping[str, Any]) -> int:
        """Add a row; returns its number."""
        values = {name: json.dumps(v) if name in _DOCUMENTS else v for name, v in record.items()}
        places = ", ".join("?" for _ in values)
        insert = f"insert into {table} ({', '.join(values)}) values ({places}) returning rowid as number"
        return self._query(insert, list(values.values()))[0]["number"]

    def _query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        rows = self._connection().execute(sql, parameters).fetchall()
        return [
            {name: json.loads(row[name]) if name in _DOCUMENTS else row[name] for name in row.keys()}  # noqa: SIM118
            for row in rows
        ]

    def _connection(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            # Every statement is a transaction of its own; a busy writer is waited for.
            db = sqlite3.connect(self._path, timeout=60, isolation_level=None)
            db.row_factory = sqlite3.Row
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
            self._local.db = db
        return db
