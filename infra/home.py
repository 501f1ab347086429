"""The home: one directory that holds everything a run writes. Deleting it resets everything.

`BURNISH_HOME` names it; without it the nearest `.burnish` at or above the working directory is used, else
one is made in the working directory.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import HomeError
from infra.being_written import path_to_write
from infra.holders import Holder, read_sign, sign, try_lock, wait_for
from infra.mlflow_names import FETCHED
from infra.settings import mlflow_server

HOME_FORMAT = 4
"""Raised when a home written by this version could not be read by the one before."""


_NO_SIGN = "a process that is just beginning or ending"


@dataclass(frozen=True, slots=True)
class Home:
    """Where things are kept. Made by `open_home`, which also proves that it can be written."""

    path: Path

    @property
    def ledger_path(self) -> Path:
        return self.path / "ledger.db"

    @property
    def warehouse_path(self) -> Path:
        return self.path / "warehouse" / "warehouse.duckdb"

    @property
    def rows_dir(self) -> Path:
        """Parquet files, one per distinct content, named by fingerprint."""
        return self.path / "warehouse" / "rows"

    @property
    def manifests_dir(self) -> Path:
        """Which rows of which files make a version, where it is not one file as it stands."""
        return self.path / "warehouse" / "manifests"

    @property
    def quarantine_dir(self) -> Path:
        """Rows that broke their contract, with file, line and reason, one Parquet file an import."""
        return self.path / "warehouse" / "quarantine"

    @property
    def models_dir(self) -> Path:
        """Model directories, one per distinct content, named by fingerprint."""
        return self.path / "models"

    @property
    def lineage_dir(self) -> Path:
        """Which rows each training was given."""
        return self.path / "lineage"

    @property
    def work_dir(self) -> Path:
        """Scratch of stages that are running or were interrupted, one per stage key."""
        return self.path / "work"

    @property
    def logs_dir(self) -> Path:
        return self.path / "logs"

    @property
    def reference_cache_dir(self) -> Path:
        return self.path / "reference_logprobs"

    @property
    def mlflow_path(self) -> Path:
        return self.path / "mlflow" / "mlflow.db"

    @property
    def own_mlflow_uri(self) -> str:
        """MLflow's database in this home."""
        return f"sqlite:///{self.mlflow_path}"

    @property
    def mlflow_uri(self) -> str:
        """Where runs and models are registered: the server of MLFLOW_TRACKING_URI, else this home's own."""
        return mlflow_server(os.environ) or self.own_mlflow_uri

    @property
    def has_mlflow(self) -> bool:
        """Whether there is an MLflow to look into; a home's own is made by its first run."""
        return self.mlflow_uri != self.own_mlflow_uri or self.mlflow_path.is_file()

    @property
    def mlflow_artifacts_dir(self) -> Path:
        return self.path / "mlflow" / "artifacts"

    @property
    def fetched_models_dir(self) -> Path:
        """What was fetched from an MLflow server, by logged model."""
        return self.mlflow_artifacts_dir / FETCHED

    @property
    def cards_dir(self) -> Path:
        """Data cards by fingerprint; they can be computed again."""
        return self.path / "warehouse" / "cards"

    @property
    def directories(self) -> list[Path]:
        """What every home has."""
        rows = [self.rows_dir, self.manifests_dir, self.quarantine_dir, self.cards_dir]
        return [self.path, *rows, self.models_dir, self.lineage_dir, self.work_dir, self.logs_dir]

    def lock_path(self, name: str) -> Path:
        """Where the lock `name` is."""
        path = self.path / "locks" / f"{name}.lock"
        path.parent.mkdir(exist_ok=True)
        return path

    @contextmanager
    def lock(
        self,
        name: str,
        *,
        holder: str,
        on_wait: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        timeout_seconds: float = math.inf,
    ) -> Generator[int]:
        """Hold the OS lock `name`; it is freed by the kernel when its holder dies.

        Yields its file descriptor: a process that it is handed to holds the lock as well. While somebody else
        does, `on_wait` is told at once and then every minute who that is. Raises HomeError when it is not free
        in time, Interrupted when `should_stop` becomes true.
        """
        path = self.lock_path(name)
        sign_path = path.with_suffix(".holder")

        def tell() -> None:
            if on_wait is not None:
                on_wait(read_sign(sign_path) or _NO_SIGN)

        try:
            held = wait_for(
                lambda: try_lock(path),
                on_wait=tell,
                should_stop=should_stop,
                what=f"the {name} of {self.path} ({holder})",
                seconds=timeout_seconds,
            )
        except TimeoutError as error:
            raise HomeError(
                f"The {name} of {self.path} was not free for {timeout_seconds:.0f} s: "
                f"{read_sign(sign_path) or _NO_SIGN} has it.",
                "a turn within that time",
                "Wait for that process, or end it; then run again.",
            ) from error
        try:
            with sign(sign_path, Holder(what=holder)):
                yield held
        finally:
            os.close(held)

    def holder_of(self, name: str) -> str | None:
        """Who holds the lock `name`, in words; None where nobody does."""
        return read_sign(self.lock_path(name).with_suffix(".holder"))


def home_path(environment: Mapping[str, str], working_directory: Path) -> Path:
    """The home these circumstances mean; nothing is created."""
    if named := environment.get("BURNISH_HOME"):
        return Path(named).expanduser().absolute()
    for directory in [working_directory, *working_directory.parents]:
        if (directory / ".burnish" / "home.json").is_file():
            return directory / ".burnish"
    return working_directory / ".burnish"


def open_home(path: Path) -> Home:
    """Create or check the home at `path`. Raises HomeError when it cannot be used."""
    home = Home(path)
    if "'" in str(path):
        raise HomeError(
            f"The home {path} has a quotation mark in its path, which MLflow's database cannot hold.",
            "a path without '",
            "Set BURNISH_HOME to another directory.",
        )
    marker = path / "home.json"
    if marker.is_file():
        _require_known_format(marker)
    try:
        for directory in home.directories:
            directory.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}-{time.monotonic_ns()}"
        probe.write_text("writable")
        probe.unlink()
    except OSError as error:
        raise HomeError(
            f"The home {path} cannot be written: {error.strerror} ({error.filename}).",
            "a directory this user may create and write, on a local disk",
            "Set BURNISH_HOME to another directory.",
        ) from error
    if not marker.exists():
        write_atomically(marker, json.dumps({"format": HOME_FORMAT}))
    return home


def _require_known_format(marker: Path) -> None:
    try:
        found = int(json.loads(marker.read_text())["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise HomeError(
            f"{marker} is damaged: {error}.",
            f'{{"format": {HOME_FORMAT}}}',
            "Restore the file, or set BURNISH_HOME to another directory.",
        ) from error
    if found < HOME_FORMAT:
        raise HomeError(
            f"The home {marker.parent} was written by an older Burnish (format {found}).",
            f"format {HOME_FORMAT}",
            "Set BURNISH_HOME to another directory, or remove this one: a run makes its results anew.",
        )
    if found > HOME_FORMAT:
        raise HomeError(
            f"The home {marker.parent} was written by a newer Burnish (format {found}).",
            f"format {HOME_FORMAT}",
            "Upgrade Burnish, or set BURNISH_HOME to another directory.",
        )


def free_bytes(home: Home) -> int:
    return shutil.disk_usage(home.path).free


def write_atomically(path: Path, text: str) -> None:
    """Write beside, sync, rename: a reader sees the old content or the new, never half."""
    temporary = path_to_write(path.parent)
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
