"""The warehouse: datasets as immutable versions in DuckDB.

A version is a manifest row (name, number, fingerprint) over a Parquet file named by its content, written
once and shared by every version with that content. The database is opened briefly, under a file lock;
training reads the Parquet file and never holds the database. Each version is also a view, so that
`select * from "tiny.worked@1"` works in any DuckDB client.
"""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.canonical import FINGERPRINT_LENGTH
from data_contracts.errors import DataError, HomeError, NotFoundError
from data_contracts.rows import RowKind
from infra.home import Home

_SCHEMA = """
create table if not exists versions (
    name varchar not null, version integer not null, fingerprint varchar not null, kind varchar not null,
    num_rows bigint not null, stage_key varchar not null, created_at double not null,
    unique (name, version), unique (name, fingerprint));
"""

# Hashed in one place, in SQL: every row's JSON, then all of them in order, then the column names and types.
_FINGERPRINT = """
select sha256(coalesce(string_agg(row_hash, '' order by position), '') || (
    select string_agg(column_name || ' ' || column_type, ', ') from (describe source))) from (
    select sha256(to_json(rows)::varchar) as row_hash, row_number() over () as position from source as rows)
"""


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """An immutable dataset: `name@version`, and the Parquet file that holds its rows."""

    name: str
    version: int
    fingerprint: str
    kind: RowKind
    num_rows: int
    path: Path

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class Warehouse:
    """Publish and read dataset versions of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def publish(self, name: str, kind: RowKind, rows: pa.Table, stage_key: str) -> DatasetVersion:
        """Store `rows` as the next version of `name`; rows it already has make no new version.

        The Parquet file is complete on disk before the manifest names it. Raises DataError for no rows.
        """
        if rows.num_rows == 0:
            raise DataError(
                f"Dataset {name} has no rows.",
                "at least one row",
                "Check its source, and any filter in its sql.",
            )
        digest = fingerprint_rows(rows)
        path = self._home.rows_dir / f"{digest}.parquet"
        if not path.exists():
            temporary = path.with_name(f".{digest}.{os.getpid()}.{time.monotonic_ns()}")
            pq.write_table(rows, temporary, compression="zstd")  # pyright: ignore[reportUnknownMemberType]
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        return self._add_to_manifest(name, kind, rows.num_rows, digest, stage_key)

    def versions(self, name: str | None = None) -> list[DatasetVersion]:
        """All versions (of `name`), oldest first."""
        with self._open() as db:
            found = db.execute(
                "select name, version, fingerprint, kind, num_rows from versions"
                " where $1 is null or name = $1 order by name, version",
                [name],
            ).fetchall()
        return [self._version(*row) for row in found]

    def get(self, name: str, version: int | None = None) -> DatasetVersion:
        """`name@version`, or the newest. Raises NotFoundError."""
        found = [v for v in self.versions(name) if version is None or v.version == version]
        if not found:
            wanted = name if version is None else f"{name}@{version}"
            known = sorted({v.name for v in self.versions()})
            raise NotFoundError(
                f"No dataset {wanted}.", f"one of {', '.join(known) or 'none yet'}", "See `burnish status`."
            )
        return found[-1]

    def completions(self, version: DatasetVersion, is_right: bool | None, limit: int) -> list[dict[str, Any]]:
        """Rollouts of a version in order: prompt (its last message), completion, reward, reason."""
        if not version.path.is_file():
            raise NotFoundError(
                f"The rows of {version} are gone: {version.path} is missing.", "", "Run again."
            )
        query = (
            "select problem_id, sample, prompt[-1].content as prompt, completion, reward, reason, ground_truth"
            " from read_parquet($path) where $is_right is null or (reward = 1.0) = $is_right limit $limit"
        )
        with duckdb.connect(":memory:") as db:
            parameters = {"path": str(version.path), "is_right": is_right, "limit": limit}
            return db.sql(query, params=parameters).to_arrow_table().to_pylist()

    def _add_to_manifest(
        self, name: str, kind: RowKind, num_rows: int, digest: str, stage_key: str
    ) -> DatasetVersion:
        with self._open() as db:
            known = db.execute(
                "select version from versions where name = $1 and fingerprint = $2", [name, digest]
            ).fetchall()
            if known:
                return self._version(name, known[0][0], digest, kind, num_rows)
            ((newest,),) = db.execute(
                "select coalesce(max(version), 0) from versions where name = $1", [name]
            ).fetchall()
            version = self._version(name, newest + 1, digest, kind, num_rows)
            db.execute("begin")
            db.execute(
                "insert into versions values ($1, $2, $3, $4, $5, $6, $7)",
                [name, version.version, digest, kind.value, num_rows, stage_key, time.time()],
            )
            # A view cannot take parameters; both names are ours: checked identifiers and a hexadecimal digest.
            db.execute(
                f"create or replace view {_quoted(str(version))} as from read_parquet({_literal(version.path)})"
            )
            db.execute("commit")
            return version

    def _version(self, name: str, version: int, digest: str, kind: str, num_rows: int) -> DatasetVersion:
        path = self._home.rows_dir / f"{digest}.parquet"
        return DatasetVersion(name, version, digest, RowKind(kind), num_rows, path)

    @contextmanager
    def _open(self) -> Generator[duckdb.DuckDBPyConnection]:
        # One process writes or several read; a writer blocks readers too. So: everybody waits a turn.
        with self._home.lock("warehouse", holder="a dataset task"):
            try:
                db = duckdb.connect(
                    self._home.warehouse_path, config={"autoinstall_known_extensions": "false"}
                )
            except duckdb.Error as error:
                raise HomeError(
                    f"The warehouse {self._home.warehouse_path} cannot be used: {str(error).splitlines()[0]}",
                    "the DuckDB file that Burnish wrote",
                    "Restore it from a backup, or set BURNISH_HOME to another directory.",
                ) from error
            try:
                db.execute(_SCHEMA)
                yield db
            finally:
                db.close()


def fingerprint_rows(rows: pa.Table) -> str:
    """Content of the rows, their order and their columns, as hexadecimal digits."""
    db = duckdb.connect(":memory:")
    try:
        db.register("source", rows)
        ((digest,),) = db.execute(_FINGERPRINT).fetchall()
        return str(digest)[:FINGERPRINT_LENGTH]
    finally:
        db.close()


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
