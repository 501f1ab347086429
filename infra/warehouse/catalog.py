"""The catalog: one DuckDB file that says which versions, segments and tags there are.

It is opened briefly, under a file lock: one process writes or several read, and a writer blocks readers too,
so everybody waits a turn, for a bounded time and told for whom.
"""

import json
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from data_contracts.errors import DataError, HomeError
from data_contracts.rows import RowKind
from infra.home import Home
from infra.warehouse.segments import Segment, rows_path

_SCHEMA = """
create table if not exists segments (
    fingerprint varchar primary key, columns varchar not null, num_rows bigint not null,
    num_bytes bigint not null, sha256 varchar not null);
create table if not exists versions (
    name varchar not null, version integer not null, fingerprint varchar not null, kind varchar not null,
    num_rows bigint not null, columns varchar not null, segments varchar[] not null, manifest_sha256 varchar,
    stage_key varchar not null, created_at double not null, origin varchar not null,
    unique (name, version), unique (name, fingerprint));
create table if not exists tags (
    name varchar not null, tag varchar not null, version integer not null, made_at double not null,
    unique (name, tag));
create table if not exists quarantines (
    name varchar not null, file varchar not null, num_rows bigint not null, version integer,
    created_at double not null, origin varchar not null);
"""

_WAIT_SECONDS = 600.0
_TURN_SECONDS = 0.1

_DAMAGE = (duckdb.FatalException, duckdb.SerializationException, duckdb.IOException, duckdb.InternalException)

OnWait = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """An immutable dataset: `name@version`, and what its rows are made of."""

    name: str
    version: int
    fingerprint: str
    kind: RowKind
    num_rows: int
    columns: str
    """Names and types, as JSON."""

    segments: tuple[str, ...]
    manifest_sha256: str | None
    """Of the manifest's file; None for a version that is one whole segment."""

    stage_key: str
    created_at: float
    origin: dict[str, Any]
    """How it came to be: command, files and their digests, mapping, licence, parents, settings."""

    path: Path
    """Its rows as one Parquet file, where it is one whole segment."""

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def is_whole_segment(self) -> bool:
        return self.segments == (self.fingerprint,)


_COLUMNS = (
    "name, version, fingerprint, kind, num_rows, columns, segments, manifest_sha256,"
    " stage_key, created_at, origin"
)

_SEGMENTS = "select fingerprint, columns, num_rows, num_bytes, sha256 from segments"


class Catalog:
    """Opens the DuckDB file of one home for a moment."""

    def __init__(self, home: Home, on_wait: OnWait | None = None) -> None:
        self._home = home
        self._on_wait = on_wait

    @contextmanager
    def open(self) -> Generator[duckdb.DuckDBPyConnection]:
        """The database, ours alone. Raises HomeError when it is damaged or never free."""
        deadline = time.monotonic() + _WAIT_SECONDS
        with self._home.lock(
            "warehouse", holder="a dataset task", on_wait=self._on_wait, timeout_seconds=_WAIT_SECONDS
        ):
            db = self._connect(deadline)
            try:
                db.execute(_SCHEMA)
                yield db
            except duckdb.Error as error:
                if type(error) is not duckdb.Error and not isinstance(error, _DAMAGE):
                    raise
                raise self._unusable(error) from error
            finally:
                db.close()

    @contextmanager
    def change(self) -> Generator[duckdb.DuckDBPyConnection]:
        """The database in one transaction: all of what happens inside, or nothing."""
        with self.open() as db:
            db.execute("begin")
            yield db  # an error closes the connection, which rolls back
            db.execute("commit")

    def require_readable(self) -> None:
        """Read all of it: a missing end shows only where somebody reads. Raises HomeError."""
        with self.open() as db:
            for (table,) in db.execute("select table_name from duckdb_tables()").fetchall():
                db.execute(f"select hash(columns(*)) from {table}").fetchall()

    def version_of(self, row: Sequence[Any]) -> DatasetVersion:
        """A row of `select_versions`."""
        name, version, digest, kind, num_rows, columns, segments, manifest, key, created, origin = row
        path = rows_path(self._home.rows_dir, digest)
        return DatasetVersion(
            name,
            version,
            digest,
            RowKind(kind),
            num_rows,
            columns,
            tuple(segments),
            manifest,
            key,
            created,
            json.loads(origin),
            path,
        )

    def select_versions(
        self, db: duckdb.DuckDBPyConnection, condition: str = "true", parameters: Sequence[Any] = ()
    ) -> list[DatasetVersion]:
        """Versions by name, oldest first."""
        query = f"select {_COLUMNS} from versions where {condition} order by name, version"
        return [self.version_of(row) for row in db.execute(query, list(parameters)).fetchall()]

    def segments(self, fingerprints: Sequence[str]) -> dict[str, Segment]:
        """The named segments by fingerprint. Raises DataError when one is not there any more."""
        with self.open() as db:
            found = select_segments(db, fingerprints)
        if len(found) < len(set(fingerprints)):
            raise DataError(
                "Rows that were there a moment ago have been collected.",
                "a version that is kept",
                "Run the same command again.",
            )
        return found

    def _connect(self, deadline: float) -> duckdb.DuckDBPyConnection:
        self._require_there()
        while True:
            try:
                return duckdb.connect(
                    self._home.warehouse_path, config={"autoinstall_known_extensions": "false"}
                )
            except duckdb.IOException as error:
                if "Conflicting lock" not in str(error) or time.monotonic() > deadline:
                    raise self._unusable(error) from error
                if self._on_wait is not None:
                    self._on_wait("another DuckDB client that has the warehouse open")
                    self._on_wait = None
                time.sleep(_TURN_SECONDS)
            except duckdb.Error as error:
                raise self._unusable(error) from error

    def _require_there(self) -> None:
        """DuckDB would begin a new file in place of one that is gone."""
        path = self._home.warehouse_path
        if (not path.exists() or path.stat().st_size == 0) and any(self._home.rows_dir.glob("*.parquet")):
            raise HomeError(
                f"The warehouse {path} is missing or empty, and the rows of its versions are still there.",
                "the DuckDB file that Burnish wrote",
                "Restore it from a backup, or set BURNISH_HOME to another directory.",
            )

    def _unusable(self, error: duckdb.Error) -> HomeError:
        return HomeError(
            f"The warehouse {self._home.warehouse_path} cannot be used: {str(error).splitlines()[0]}",
            "the DuckDB file that Burnish wrote, open in no other program",
            "Close what has it open; restore it from a backup if it is damaged; or set BURNISH_HOME to another"
            " directory.",
        )


def select_segments(db: duckdb.DuckDBPyConnection, fingerprints: Sequence[str]) -> dict[str, Segment]:
    """The named segments by fingerprint; those the catalog does not have are left out."""
    rows = db.execute(f"{_SEGMENTS} where list_contains($1, fingerprint)", [list(fingerprints)]).fetchall()
    return {row[0]: Segment(*row) for row in rows}


def select_segments_like(db: duckdb.DuckDBPyConnection, columns: str) -> list[Segment]:
    """All segments with these columns."""
    return [Segment(*row) for row in db.execute(f"{_SEGMENTS} where columns = $1", [columns]).fetchall()]
