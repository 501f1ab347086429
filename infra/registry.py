"""MLflow as a projection of what was run: one run per stage execution, one model version per result.

The ledger is the truth; everything here can be rebuilt from it. Every write may be repeated after a kill at
any instant. Importing this module imports MLflow (2 s), so callers import it late.
"""
# MLflow's entities have no annotations.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

import mlflow.artifacts
from filelock import FileLock
from mlflow.entities import LifecycleStage, Metric, Param
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from data_contracts.errors import NotFoundError
from infra.known_names import require_known
from infra.logged_models import fetched_directory, link_version, log_model, require_copies
from infra.mlflow_database import connect
from infra.mlflow_datasets import UsedDataset, dataset_input
from infra.mlflow_names import FETCHED, metric_name, parameter_text, tags_equal
from infra.published_files import content_hash, publishable_files

RECORDED_PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "prefect", "mlflow", "duckdb")

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version of a registered model."""

    name: str
    version: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created_at: datetime
    stage_key: str
    """Empty for a version that somebody registered by hand."""


class ModelRegistry:
    """Runs and model versions of one home. Safe to share between threads and between processes.

    MLflow resolves `models:/` sources through its process-wide tracking URI, so a process works with one
    registry at a time. No run is ever made the process's active one.
    """

    def __init__(self, tracking_uri: str, artifact_root: Path) -> None:
        self._client = connect(tracking_uri, artifact_root)
        self._artifact_root = artifact_root
        self._is_server = tracking_uri.startswith("http")

    def start_pipeline_run(self, pipeline: str, run_id: str, recipe_yaml: str) -> str:
        """The MLflow run of our run `run_id`; a retry gets the same one back, running again."""
        experiment_id = self._experiment_id(pipeline)
        found = self._client.search_runs([experiment_id], tags_equal({"burnish.run": run_id}))
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id
        tags = {"burnish.run": run_id, "burnish.pipeline": pipeline}
        run = self._client.create_run(experiment_id, tags=tags, run_name=f"{pipeline} {run_id}")
        self._client.log_text(run.info.run_id, recipe_yaml, "recipe.yaml")
        return run.info.run_id

    def start_stage_run(
        self, parent: str, pipeline: str, stage: str, stage_key: str, params: Mapping[str, object]
    ) -> str:
        """A run below `parent` for one execution of one stage."""
        tags = {
            MLFLOW_PARENT_RUN_ID: parent,
            "burnish.pipeline": pipeline,
            "burnish.stage": stage,
            "burnish.stage_key": stage_key,
        }
        run = self._client.create_run(self._experiment_id(pipeline), tags=tags, run_name=stage)
        logged = [Param(key, parameter_text(value)) for key, value in params.items()]
        self._client.log_batch(run.info.run_id, params=logged)
        return run.info.run_id

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int) -> None:
        now = int(datetime.now(UTC).timestamp() * 1000)
        points = [Metric(metric_name(key), value, now, step) for key, value in metrics.items()]
        self._client.log_batch(run_id, metrics=points)

    def page_of(self, run_id: str) -> str:
        """The place of a run below the address of an MLflow server."""
        return f"#/experiments/{self._client.get_run(run_id).info.experiment_id}/runs/{run_id}"

    def log_environment(self, run_id: str) -> None:
        """Versions that can make two runs of one recipe differ."""
        environment = {
            "packages": {package: metadata.version(package) for package in RECORDED_PACKAGES},
            "python": platform.python_version(),
            "platform": platform.platform(),
        }
        self._client.log_dict(run_id, environment, "environment.json")

    def log_datasets(self, run_id: str, inputs: Iterable[UsedDataset]) -> None:
        self._client.log_inputs(run_id, [dataset_input(used) for used in inputs])

    def finish_run(self, run_id: str, status: RunStatus) -> None:
        self._client.set_terminated(run_id, status)

    def register_model(
        self, run_id: str, name: str, directory: Path, stage_key: str, tags: Mapping[str, str]
    ) -> int:
        """The version of `name` that holds this stage key's weights, made unless it is there already.

        One whose files somebody removed is filled again.
        """
        files = publishable_files(directory)
        identity = {"burnish.stage_key": stage_key, "burnish.content": content_hash(directory, files)}
        with self._lock():
            registered = self._versions(f"name = '{name}' and {tags_equal(identity)}")
            if registered:
                made = registered[0]
                require_copies(self._client, made, directory, files)
            else:
                model_id = log_model(self._client, run_id, name.replace(".", "-"), directory, files, identity)
                if name not in self._models():
                    self._client.create_registered_model(name)
                made = self._client.create_model_version(
                    name, f"models:/{model_id}", run_id, {**tags, **identity}, model_id=model_id
                )
            link_version(self._client, made)  # also one found: its maker may have been killed before this
            return int(made.version)

    def list_models(self) -> list[RegisteredVersion]:
        """Every version of every model, oldest first within a name."""
        models = self._models()
        found = [_registered_version(version, models[version.name]) for version in self._versions()]
        return sorted(found, key=lambda version: (version.name, version.version))

    def has_version(self, name: str, version: int) -> bool:
        """Whether the version is there; a home's MLflow may have been removed since."""
        return any(int(found.version) == version for found in self._versions(f"name = '{name}'"))

    def model_directory(self, reference: str) -> Path:
        """The Hugging Face directory of `name@alias`, `name/version` or `name` (newest), to be read only."""
        name, version = self._resolve(reference.removeprefix("models:/"))
        try:
            if self._is_server:
                found = self._client.get_model_version(name, version)
                return fetched_directory(self._client, found, self._artifact_root / FETCHED)
            directory = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}"))
        except (OSError, MlflowException) as error:
            raise NotFoundError(
                f"The files of {name}/{version} are gone: {error}", "", _make_again(name)
            ) from error
        if not any(directory.glob("*.safetensors")):
            raise NotFoundError(
                f"The weights of {name}/{version} are gone from {directory}.", "", _make_again(name)
            )
        return directory

    def tag_version(self, name: str, version: int, tag: str, value: str | None) -> bool:
        """Set a version's tag, or remove it; False when MLflow has lost the version."""
        if not self.has_version(name, version):
            return False
        if value is not None:
            self._client.set_model_version_tag(name, str(version), tag, value)
        elif tag in self._client.get_model_version(name, str(version)).tags:
            self._client.delete_model_version_tag(name, str(version), tag)
        return True

    def set_alias(self, name: str, alias: str, version: int) -> None:
        require_known("version", str(version), self._version_numbers(name), of=name)
        self._client.set_registered_model_alias(name, alias, str(version))

    def aliases(self, name: str) -> dict[str, int]:
        models = self._models()
        require_known("model", name, models)
        return {alias: int(version) for alias, version in models[name].aliases.items()}

    def _resolve(self, reference: str) -> tuple[str, str]:
        if "@" in reference:
            name, alias = reference.split("@", 1)
            aliases = self.aliases(name)
            require_known("alias", alias, aliases, of=name)
            return name, str(aliases[alias])
        name, _, version = reference.partition("/")
        numbers = self._version_numbers(name)
        wanted = version or max(numbers, key=int, default="1")
        require_known("version", wanted, numbers, of=name)
        return name, wanted

    def _version_numbers(self, name: str) -> list[str]:
        require_known("model", name, self._models())
        return [str(version.version) for version in self._versions(f"name = '{name}'")]

    def _models(self) -> dict[str, RegisteredModel]:
        page = self._client.search_registered_models()
        models = {model.name: model for model in page}
        while page.token:
            page = self._client.search_registered_models(page_token=page.token)
            models |= {model.name: model for model in page}
        return models

    def _versions(self, filter_string: str | None = None) -> list[ModelVersion]:
        page = self._client.search_model_versions(filter_string)
        versions = list(page)
        while page.token:
            page = self._client.search_model_versions(filter_string, page_token=page.token)
            versions += page
        return versions

    def _experiment_id(self, pipeline: str) -> str:
        with self._lock():
            experiment = self._client.get_experiment_by_name(pipeline)
            if experiment is None:
                # A server knows where its artifacts are.
                place = None if self._is_server else str(self._artifact_root / pipeline)
                return self._client.create_experiment(pipeline, place)
            if experiment.lifecycle_stage == LifecycleStage.DELETED:  # by a click in MLflow's page
                self._client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    def _lock(self) -> FileLock:
        return FileLock(self._artifact_root / ".registry.lock")


def _registered_version(version: ModelVersion, model: RegisteredModel) -> RegisteredVersion:
    number = str(version.version)
    return RegisteredVersion(
        name=version.name,
        version=int(number),
        aliases=tuple(sorted(alias for alias, target in model.aliases.items() if str(target) == number)),
        tags=version.tags,
        created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        stage_key=version.tags.get("burnish.stage_key", ""),
    )


def _make_again(name: str) -> str:
    pipeline, _, stage = name.partition(".")
    return f"`burnish run` of the recipe {pipeline} with --force {stage} makes them again."
