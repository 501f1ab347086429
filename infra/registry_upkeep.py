"""MLflow against what the ledger says it should hold: looked at, filled again, emptied.

Looking changes nothing in MLflow. Importing this module imports MLflow (2 s), so callers import it late.
"""
# MLflow's entities have no annotations.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.entities import LoggedModel, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from infra.home import Home
from infra.logged_models import fetch_files
from infra.mlflow_database import connect
from infra.published_files import PUBLISHED_SUFFIXES
from infra.registry import ModelRegistry, RegisteredVersion

PLACEHOLDER = "placeholder"
"""The stage key of a version that only takes up a number, until the next one is made."""

_NOWHERE = "placeholder://burnish/nowhere"
"""The source of such a version; a server takes no path of this machine for one."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """An MLflow run that is called running."""

    mlflow_run: str
    name: str
    run_id: str
    """Of our run that it belongs to, or that its parent does."""


class RegistryUpkeep:
    """The registry of one home, and what only its upkeep needs."""

    def __init__(self, home: Home) -> None:
        self._client: MlflowClient = connect(home.mlflow_uri, home.mlflow_artifacts_dir)
        self._lock = FileLock(home.mlflow_artifacts_dir / ".registry.lock")
        self._fetched = home.fetched_models_dir
        self.registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)

    def versions(self) -> dict[tuple[str, int], RegisteredVersion]:
        return {(found.name, found.version): found for found in self.registry.list_models()}

    def open_runs(self) -> list[OpenRun]:
        """Runs that Burnish began and nobody ended; a person's own are left alone."""
        experiments = [found.experiment_id for found in _all(self._client.search_experiments)]
        running = partial(self._client.search_runs, experiments, "attributes.status = 'RUNNING'")
        runs: list[Run] = _all(running)
        found = [(run, self._owner(run)) for run in runs]
        return [OpenRun(run.info.run_id, run.info.run_name or "", owner) for run, owner in found if owner]

    def has_copies(self, name: str, version: int, directory: Path) -> bool:
        """Whether a version has every publishable file of `directory`, by name and size."""
        model = self._model(name, version)
        if model is None:
            return False
        repository = get_artifact_repository(model.artifact_location)
        files = [f for f in directory.rglob("*") if f.is_file() and f.suffix in PUBLISHED_SUFFIXES]
        sizes = {file.relative_to(directory).as_posix(): file.stat().st_size for file in files}
        folders = {None if "/" not in place else place.rpartition("/")[0] for place in sizes}
        copies = {
            info.path: info.file_size for folder in folders for info in repository.list_artifacts(folder)
        }
        return all(copies.get(place) == size for place, size in sizes.items())

    def fetch(self, name: str, version: int, target: Path) -> bool:
        """Fetch a version's files into the new directory `target`; False when MLflow has none of them."""
        model = self._model(name, version)
        if model is None:
            return False
        repository = get_artifact_repository(model.artifact_location)
        if not repository.list_artifacts():
            return False
        target.mkdir()
        fetch_files(repository, target)
        return True

    def num_bytes(self, name: str, version: int) -> int:
        """What a version's files take."""
        model = self._model(name, version)
        return _size_below(get_artifact_repository(model.artifact_location), None) if model else 0

    def number_next(self, name: str, version: int) -> None:
        """Let the next version of `name` be `version` if that number is still to come.

        MLflow counts up and gives no number twice, so the numbers below are taken up and let go.
        """
        with self._lock:
            known = [number for of, number in self.versions() if of == name]
            if not known and name not in {
                model.name for model in _all(self._client.search_registered_models)
            }:
                self._client.create_registered_model(name)
            number = max(known, default=0)
            while number < version - 1:
                made = self._client.create_model_version(
                    name, _NOWHERE, tags={"burnish.stage_key": PLACEHOLDER}
                )
                number = int(made.version)
                self._client.delete_model_version(name, str(number))

    def forget(self, name: str, version: int) -> None:
        """Remove a version and its files. Aliases that point at it go too."""
        model = self._model(name, version)
        if model is None:
            self._client.delete_model_version(name, str(version))
            return
        sources = [found.source for found in _all(self._client.search_model_versions)]
        is_shared = sources.count(f"models:/{model.model_id}") > 1
        if not is_shared:
            get_artifact_repository(model.artifact_location).delete_artifacts()
        self._client.delete_model_version(name, str(version))
        if not is_shared:
            self._client.delete_logged_model(model.model_id)
            shutil.rmtree(self._fetched / model.model_id, ignore_errors=True)

    def _model(self, name: str, version: int) -> LoggedModel | None:
        try:
            source = str(self._client.get_model_version(name, str(version)).source)
            return self._client.get_logged_model(source.removeprefix("models:/"))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _owner(self, run: Run) -> str:
        """Our run that an MLflow run was made for; empty for a person's own."""
        parent = run.data.tags.get(MLFLOW_PARENT_RUN_ID)
        if parent is not None and "burnish.stage_key" in run.data.tags:
            try:
                run = self._client.get_run(parent)
            except MlflowException:  # somebody removed it
                return "a run that MLflow has lost"
        return run.data.tags.get("burnish.run", "")


def _all(search: Callable[..., Any]) -> list[Any]:
    """Every page of a search."""
    page = search()
    found = list(page)
    while page.token:
        page = search(page_token=page.token)
        found += page
    return found


def _size_below(repository: ArtifactRepository, folder: str | None) -> int:
    infos = repository.list_artifacts(folder)
    return sum(_size_below(repository, info.path) if info.is_dir else info.file_size or 0 for info in infos)
