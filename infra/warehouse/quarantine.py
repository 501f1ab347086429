"""The quarantine: rows that broke their contract, kept whole with file, line and reason.

One Parquet file an import, named in the catalog together with the version the other rows became. A row leaves
only when it is accepted into a version: one transaction makes that version and replaces the quarantine by what
is left of it, and the version names the quarantines it took rows from.
"""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import DataError
from infra.being_written import path_to_write
from infra.home import Home
from infra.warehouse.catalog import Catalog, DatasetVersion
from infra.warehouse.committing import Change, Published
from infra.warehouse.segments import damaged, synced_sha256

_SCHEMA = pa.schema({"file": pa.string(), "line": pa.int64(), "reason": pa.string(), "row": pa.string()})
_ROWS_AT_ONCE = 10_000
ADMITTED = "admitted"
"""Key of a version's origin: the quarantines it took rows from, each with its import's version."""

_PARTICULAR = re.compile(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|\d[\d:.,]*(?<![.:,])")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was read, or could not be, with what is wrong with it."""

    file: str
    line: int
    reason: str
    row: str
    """As it stands in the file; from a file that is no JSON, all of its columns as a JSON object."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The bad rows of one import."""

    quarantine_id: str
    name: str
    num_rows: int
    version: int | None
    created_at: float
    origin: dict[str, Any]
    path: Path

    @property
    def admission(self) -> dict[str, Any]:
        """What a version that takes rows from it says of it."""
        return {"quarantine": self.quarantine_id, "version": self.version}


class QuarantineWriter:
    """Collects bad rows into a file that `Quarantines.add` gives its name."""

    def __init__(self, home: Home, restore: Callable[[BadRow], BadRow] = lambda row: row) -> None:
        """`restore` gives a row that was read from somewhere else its first place back."""
        self._restore = restore
        self._temporary = path_to_write(home.quarantine_dir)
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[BadRow] = []
        self.reasons: Counter[str] = Counter()

    @property
    def num_rows(self) -> int:
        return self.reasons.total()

    def add(self, rows: Iterable[BadRow]) -> None:
        for row in map(self._restore, rows):
            self._waiting.append(row)
            self.reasons[reason_class(row.reason)] += 1
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self._write()

    def finish(self) -> Path:
        """The complete file, on disk under its temporary name."""
        self._write()
        assert self._writer is not None
        self._writer.close()
        synced_sha256(self._temporary)
        return self._temporary

    def abandon(self) -> None:
        """Leave nothing behind. Safe at any time."""
        if self._writer is not None and self._writer.is_open:
            self._writer.close()
        self._temporary.unlink(missing_ok=True)

    def _write(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._temporary, _SCHEMA, compression="zstd")
        columns = {name: [getattr(row, name) for row in self._waiting] for name in _SCHEMA.names}
        self._writer.write_table(pa.table(columns, schema=_SCHEMA))
        self._waiting = []


class _Finished:
    """A writer's complete file, named by its content."""

    def __init__(self, writer: QuarantineWriter, version: int | None, origin: dict[str, Any]) -> None:
        self.path = writer.finish()
        self.quarantine_id = synced_sha256(self.path)[:32]
        self.num_rows, self.version, self.origin = writer.num_rows, version, origin


class Quarantines:
    """The quarantines of one home."""

    def __init__(self, home: Home, catalog: Catalog) -> None:
        self._home, self._catalog = home, catalog

    def add(
        self, name: str, published: Published | None, writer: QuarantineWriter, origin: dict[str, Any]
    ) -> DatasetVersion | None:
        """Keep what a writer collected; the same rows of the same import are kept once.

        An import repeated after a fix brings back no row that the fix took in: it returns that fix's version.
        """
        if not writer.num_rows:
            return None
        version = published.version.version if published else None
        finished = _Finished(writer, version, origin)
        admission = {"quarantine": finished.quarantine_id, "version": version}
        with self._catalog.change() as db:
            for known in self._catalog.select_versions(db, "name = $1", [name]):
                is_repeated = published is None or not published.is_new
                if is_repeated and admission in known.origin.get(ADMITTED, []):
                    return known
            self._insert(db, name, finished)
        return None

    def replacement(self, groups: Sequence[tuple[Quarantine, QuarantineWriter]]) -> Change:
        """Each quarantine gives way to what its writer collected, in the transaction that admits the others.

        Raises DataError there when one of them has given way already.
        """
        left = [
            _Finished(writer, old.version, old.origin) if writer.num_rows else None for old, writer in groups
        ]

        def replace(db: duckdb.DuckDBPyConnection) -> None:
            for (old, _), rest in zip(groups, left, strict=True):
                query = "delete from quarantines where name = $1 and file = $2 returning file"
                if not db.execute(query, [old.name, old.quarantine_id]).fetchall():
                    raise DataError(
                        f"Another fix of {old.name} took rows out of its quarantine meanwhile.",
                        "the quarantine as it was at the beginning",
                        "Run the same command again.",
                    )
                if rest is not None:
                    self._insert(db, old.name, rest)

        return replace

    def _insert(self, db: duckdb.DuckDBPyConnection, name: str, finished: "_Finished") -> None:
        finished.path.replace(self._path(finished.quarantine_id))
        known = db.execute(
            "select count(*) from quarantines where name = $1 and file = $2", [name, finished.quarantine_id]
        ).fetchall()
        if known == [(0,)]:
            db.execute(
                "insert into quarantines values ($1, $2, $3, $4, $5, $6)",
                [
                    name,
                    finished.quarantine_id,
                    finished.num_rows,
                    finished.version,
                    time.time(),
                    json.dumps(finished.origin),
                ],
            )

    def of(self, name: str | None) -> list[Quarantine]:
        """A dataset's quarantines, or all, oldest first."""
        with self._catalog.open() as db:
            rows = db.execute(
                "select file, name, num_rows, version, created_at, origin from quarantines"
                " where $1 is null or name = $1"
                " order by created_at",
                [name],
            ).fetchall()
        return [
            Quarantine(file, name, count, version, created, json.loads(origin), self._path(file))
            for file, name, count, version, created, origin in rows
        ]

    def rows(self, quarantine: Quarantine, limit: int | None = None) -> list[BadRow]:
        """Its rows in the order they were read. Raises DataError when the file is damaged or gone."""
        self.require_intact(quarantine)
        table = pq.read_table(quarantine.path)
        if limit is not None:
            table = table.slice(0, limit)
        return [BadRow(**row) for row in table.to_pylist()]

    def require_intact(self, quarantine: Quarantine) -> None:
        """Its file has the digest it is named by. Raises DataError."""
        if not quarantine.path.is_file():
            raise damaged(quarantine.path, "is missing")
        with quarantine.path.open("rb") as file:
            if not hashlib.file_digest(file, "sha256").hexdigest().startswith(quarantine.quarantine_id):
                raise damaged(quarantine.path, "was changed")

    def reasons(self, quarantine: Quarantine) -> Counter[str]:
        """How many rows each kind of reason has. Raises DataError when the file is damaged or gone."""
        self.require_intact(quarantine)
        with duckdb.connect(":memory:") as db:
            rows = db.execute(
                "select reason, count(*) from read_parquet($1) group by reason", [str(quarantine.path)]
            ).fetchall()
        counts: Counter[str] = Counter()
        for reason, count in rows:
            counts[reason_class(reason)] += count
        return counts

    def _path(self, quarantine_id: str) -> Path:
        return self._home.quarantine_dir / f"{quarantine_id}.parquet"


def reason_class(reason: str) -> str:
    """A reason without its numbers and quoted text, so that a thousand rows are one line of a report."""
    return _PARTICULAR.sub("…", reason)[:160]
