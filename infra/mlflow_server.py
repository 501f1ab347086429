"""A team's MLflow server: does it answer, does it know us, and is it this home's?

What a home registers is a projection of its ledger, which the doctor repairs: runs that the ledger does not know
are ended, versions removed. So a server serves one home. It says which by an experiment that carries the home's
name, and another home is refused before it writes anything.
"""
# MLflow's entities have no annotations.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from pydantic import BaseModel, ValidationError

from data_contracts.errors import ServerError

OWNER = "burnish"
"""The experiment whose tag `burnish.home` names the home that a server serves."""

_ANSWER_SECONDS = 5
_TAG = "burnish.home"
_NOT_YET_MADE = "RESOURCE_DOES_NOT_EXIST"
_REASONS = ("Connection refused", "Name or service not known", "timed out", "certificate verify failed")


class _Tag(BaseModel):
    key: str
    value: str


class _Experiment(BaseModel):
    experiment_id: str
    lifecycle_stage: str
    tags: tuple[_Tag, ...] = ()


class _Answer(BaseModel):
    experiment: _Experiment


def require_server(uri: str, folder: Path) -> None:
    """Raises ServerError unless the server answers, accepts our credentials and serves the home of `folder`."""
    answer = _ask(uri)
    if answer.status_code not in (200, 404):
        raise _refusal(uri, answer.status_code)
    home = _name_of(folder)
    if answer.status_code == 404:
        answer = _claim(uri, home)
    try:
        experiment = _Answer.model_validate_json(answer.text).experiment
    except ValidationError as error:
        raise _refusal(uri, answer.status_code) from error
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        _take_over(uri, experiment.experiment_id, home)
        return
    owners = [tag.value for tag in experiment.tags if tag.key == _TAG]
    if owners != [home]:
        raise ServerError(
            f"The MLflow server {uri} serves another home ({', '.join(owners)}; this one is {home}).",
            "a server of this home's own: a second home would end and remove what the first registers",
            f"Set MLFLOW_TRACKING_URI to another server. If that home is gone for good, delete the experiment "
            f"{OWNER!r} on the server's page: the next home that comes takes the server over.",
        )


def _ask(uri: str) -> Any:
    """The answer to a request that needs credentials, with no second try: 404 from a server that is nobody's yet."""
    try:
        answer: Any = http_request(
            get_default_host_creds(uri),
            "/api/2.0/mlflow/experiments/get-by-name",
            "GET",
            max_retries=0,
            timeout=_ANSWER_SECONDS,
            raise_on_status=False,
            params={"experiment_name": OWNER},
        )
    except MlflowException as error:
        raise ServerError(
            f"MLFLOW_TRACKING_URI is {uri}, and nothing answers there: {_cause(error)}.",
            "a running MLflow server",
            "Start it, or unset MLFLOW_TRACKING_URI to work with this home's own.",
        ) from error
    if _NOT_YET_MADE not in answer.text and answer.status_code == 404:
        raise _refusal(uri, 404)
    return answer


def _claim(uri: str, home: str) -> Any:
    """Make a server that is nobody's this home's, unless another home comes first."""
    try:
        MlflowClient(uri, uri).create_experiment(OWNER, tags={_TAG: home})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return _ask(uri)


def _take_over(uri: str, experiment_id: str, home: str) -> None:
    client = MlflowClient(uri, uri)
    client.restore_experiment(experiment_id)
    client.set_experiment_tag(experiment_id, _TAG, home)


def _refusal(uri: str, status: int) -> ServerError:
    if status == 401:
        return ServerError(
            f"The MLflow server {uri} does not accept the user and password it was given.",
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or _FILE variables that name files)",
            "Correct them, or ask whoever keeps the server.",
        )
    if status == 403:
        return ServerError(
            f"The MLflow server {uri} refuses requests of this user or under this host name (403).",
            "an address among its --allowed-hosts, and a user who may write",
            "Ask whoever keeps the server.",
        )
    return ServerError(
        f"What answers at MLFLOW_TRACKING_URI {uri} is no MLflow server that works (status {status}).",
        "the address that MLflow's page has in a browser",
        "Correct it, or unset MLFLOW_TRACKING_URI to work with this home's own.",
    )


def _name_of(folder: Path) -> str:
    """The home's name for servers: it stays with its files when they are moved or restored."""
    path = folder / "home-id"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            path.write_text(uuid4().hex)
        return path.read_text()


def _cause(error: MlflowException) -> str:
    """The innermost reason, such as "Connection refused", without the library's layers around it."""
    text = str(error)
    return next((reason.lower() for reason in _REASONS if reason in text), text[:300])
