"""Opens MLflow: a team's server, or the home's own SQLite file, which is made once, whole, before anyone connects.

Nothing phones home.
"""

import contextlib
import logging
import os
import sqlite3
import tempfile
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # MLflow reads it while it is imported

import mlflow
from filelock import FileLock
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient

from data_contracts.errors import HomeError
from infra.mlflow_server import require_server
from infra.settings import server_environment_of

logging.getLogger("mlflow").setLevel(logging.WARNING)

_SQLITE = "sqlite:///"

_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps paths."""


def connect(tracking_uri: str, artifact_root: Path) -> MlflowClient:
    """A client of this store, which becomes the process's own: `models:/` is resolved through that one.

    Raises HomeError for a damaged file, ServerError for a server that does not answer or is another home's.
    """
    artifact_root.mkdir(parents=True, exist_ok=True)
    if tracking_uri.startswith(_SQLITE):
        create_database(tracking_uri, artifact_root)
        database = Path(tracking_uri.removeprefix(_SQLITE))
        _require_database(database)
        _follow_home(database, artifact_root)
    else:
        os.environ.update(server_environment_of(os.environ))  # MLflow takes credentials from there alone
        require_server(tracking_uri, artifact_root)
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(tracking_uri)  # or MLFLOW_REGISTRY_URI would send versions to another store
    return MlflowClient(tracking_uri, tracking_uri)


def _require_database(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("select count(*) from experiments")
    except sqlite3.DatabaseError as error:
        raise HomeError(
            f"MLflow's database {path} cannot be used: {error}.",
            "the SQLite file that MLflow wrote",
            "Restore it from a backup, or set BURNISH_HOME to another directory.",
        ) from error


def _follow_home(database: Path, artifact_root: Path) -> None:
    """A home that was moved or copied has its files here: MLflow writes down where they were, in full.

    Left so, a copy would change the files of the home that it was copied from.
    """
    with contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as db:
        first = "select artifact_location from experiments where experiment_id = 0"
        found = db.execute(first).fetchone()
        before = found[0].removesuffix("/0") if found else str(artifact_root)
        if before == str(artifact_root):
            return
        db.execute("begin immediate")
        for table, column in _PLACES:
            moved = (
                f"update {table} set {column} = ? || substr({column}, ?)"  # noqa: S608 - names from above
                f" where substr({column}, 1, ?) = ?"
            )
            inside = f"{before}/"
            db.execute(moved, [f"{artifact_root}/", len(inside) + 1, len(inside), inside])
        db.execute("commit")


def create_database(tracking_uri: str, artifact_root: Path) -> None:
    """Make the SQLite file unless it exists.

    MLflow's migrations take 5 s, break when two processes run them and cannot continue once interrupted.
    So they run on a file of their own, under a lock, and the finished file is renamed into place.
    """
    database = Path(tracking_uri.removeprefix(_SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        if database.exists():
            return
        with tempfile.TemporaryDirectory(dir=database.parent, prefix=".unfinished-") as scratch:
            unfinished = Path(scratch) / database.name
            SqlAlchemyStore(f"{_SQLITE}{unfinished}", str(artifact_root)).engine.dispose()
            unfinished.rename(database)
