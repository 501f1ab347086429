"""Opens MLflow: its SQLite file is made once, whole, before anyone connects; nothing phones home."""

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

logging.getLogger("mlflow").setLevel(logging.WARNING)

_SQLITE = "sqlite:///"


def connect(tracking_uri: str, artifact_root: Path) -> MlflowClient:
    """A client of this store, which becomes the process's own: `models:/` is resolved through that one."""
    artifact_root.mkdir(parents=True, exist_ok=True)
    if tracking_uri.startswith(_SQLITE):
        create_database(tracking_uri, artifact_root)
        _require_database(Path(tracking_uri.removeprefix(_SQLITE)))
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
