"""MLflow's copies of a model's files: made once, made again when somebody removed them, fetched from a server."""
# MLflow's entities have no annotations.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from data_contracts.errors import NotFoundError
from infra.being_written import path_to_write
from infra.mlflow_names import tags_equal
from infra.published_files import PUBLISHED_SUFFIXES, content_hash, publishable_files


def log_model(
    client: MlflowClient,
    run_id: str,
    name: str,
    directory: Path,
    files: list[Path],
    identity: Mapping[str, str],
) -> str:
    """Copy `files` into a logged model of the run; one left behind by a killed process is finished."""
    run = client.get_run(run_id)
    experiment = run.info.experiment_id
    leftovers = client.search_logged_models([experiment], tags_equal(identity))
    model = (
        leftovers[0]
        if leftovers
        else client.create_logged_model(experiment, name, source_run_id=run_id, tags=dict(identity))
    )
    _upload(client, model, directory, files)
    client.finalize_logged_model(model.model_id, "READY")
    outputs = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model.model_id


def link_version(client: MlflowClient, version: ModelVersion) -> None:
    """Let the page of a version's logged model name the version."""
    link = json.dumps([{"name": version.name, "version": version.version}])
    model_id = str(version.source).removeprefix("models:/")
    client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: link})


def require_copies(client: MlflowClient, version: ModelVersion, directory: Path, files: list[Path]) -> None:
    """Copy `files` again unless the model has all of them, by name and size."""
    model = client.get_logged_model(str(version.source).removeprefix("models:/"))
    repository = get_artifact_repository(model.artifact_location)
    folders = {_folder(file, directory) for file in files}
    copies = {info.path: info.file_size for folder in folders for info in repository.list_artifacts(folder)}
    if any(copies.get(_name(file, directory)) != file.stat().st_size for file in files):
        _upload(client, model, directory, files)


def fetched_directory(client: MlflowClient, version: ModelVersion, folder: Path) -> Path:
    """A version's files from a server, below `folder`: fetched once, and proven to be what was registered.

    Raises NotFoundError where the server has other files than those.
    """
    model_id = str(version.source).removeprefix("models:/")
    kept = folder / PurePosixPath(model_id).name
    if kept.is_dir():
        return kept
    aside = path_to_write(folder)
    aside.mkdir(parents=True)
    try:
        fetch_files(get_artifact_repository(client.get_logged_model(model_id).artifact_location), aside)
        registered = version.tags.get("burnish.content")
        is_whole = any(aside.rglob("*.safetensors"))
        if registered and not (is_whole and content_hash(aside, publishable_files(aside)) == registered):
            raise NotFoundError(
                f"MLflow's files of {version.name}/{version.version} are not those that were registered.",
                "the same names and bytes",
                "`burnish doctor --fix` copies them again from the home.",
            )
        aside.rename(kept)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return kept


def fetch_files(repository: ArtifactRepository, target: Path) -> None:
    """Fetch what may be published, whatever else somebody put beside it: nothing that runs when it is loaded."""
    for place in _places(repository, None):
        path = PurePosixPath(place)
        if path.suffix in PUBLISHED_SUFFIXES and not path.is_absolute() and ".." not in path.parts:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            repository.download_artifacts(place, str(target))


def _places(repository: ArtifactRepository, folder: str | None) -> Iterator[str]:
    for info in repository.list_artifacts(folder):
        if info.is_dir:
            yield from _places(repository, info.path)
        else:
            yield info.path


def _upload(client: MlflowClient, model: LoggedModel, directory: Path, files: list[Path]) -> None:
    get_artifact_repository(model.artifact_location).delete_artifacts()
    for file in files:
        client.log_model_artifact(model.model_id, str(file), _folder(file, directory))


def _name(file: Path, directory: Path) -> str:
    return file.relative_to(directory).as_posix()


def _folder(file: Path, directory: Path) -> str | None:
    """Where a file belongs below a model's artifacts; None is the top."""
    return None if file.parent == directory else _name(file.parent, directory)
