"""What the environment says about servers: the one place that reads it.

A home works by itself; these settings alone join it to a team's servers. Where things run never reaches an
identity, so what is stored stays valid when they change.

    MLFLOW_TRACKING_URI        http(s) address of an MLflow server; any other scheme leaves the home its own
    MLFLOW_TRACKING_USERNAME   and _PASSWORD, or _TOKEN: what it asks for
    PREFECT_API_URL            address of a Prefect server, ending in /api
    PREFECT_API_AUTH_STRING    what it asks for, as name:password

Each of `SECRETS` may come from a file, as containers mount them: `MLFLOW_TRACKING_PASSWORD_FILE` names one.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from data_contracts.errors import ServerError

SECRETS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PREFECT_API_AUTH_STRING",
    "HF_TOKEN",
    # of the servers themselves
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_ENCRYPTION_KEY",
    "MLFLOW_AUTH_ADMIN_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "PGPASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)

_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5"}
"""A minute in all: MLflow's server may be started anew during a run."""

_WITH_USER = re.compile(r"(?<=://)[^/\s]*@")


def mlflow_server(environment: Mapping[str, str]) -> str | None:
    """The address of the MLflow server that the environment names, without the credentials in it.

    Raises ServerError for one that cannot be read.
    """
    uri = environment.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        return None  # MLflow leaves the SQLite file it works with in this variable
    return _shown("MLFLOW_TRACKING_URI", uri)


def prefect_server(environment: Mapping[str, str]) -> str | None:
    """The address of the Prefect server that the environment names, without the credentials in it.

    Raises ServerError for one that cannot be read.
    """
    uri = environment.get("PREFECT_API_URL")
    return _shown("PREFECT_API_URL", uri) if uri else None


def server_environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to the environment so that clients find their credentials, and no address holds any.

    Raises ServerError for a secret whose file cannot be read, or an address that cannot.
    """
    added = secrets_from_files(environment)
    if server := mlflow_server(environment):
        name, password = _credentials(environment["MLFLOW_TRACKING_URI"])
        added |= {"MLFLOW_TRACKING_URI": server}
        added |= {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password} if name else {}
        added |= {name: value for name, value in _PATIENCE.items() if name not in environment}
    if server := prefect_server(environment):
        name, password = _credentials(environment["PREFECT_API_URL"])
        added |= {"PREFECT_API_URL": server}
        added |= {"PREFECT_API_AUTH_STRING": f"{name}:{password}"} if name else {}
    return added


def secrets_from_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Each of `SECRETS` that is named by a file and not given itself. Raises ServerError where one is missing."""
    named = {name: environment.get(f"{name}_FILE") for name in SECRETS if name not in environment}
    return {name: _read(name, Path(path)) for name, path in named.items() if path}


def without_credentials(text: str) -> str:
    """The text without the user and password of any address in it."""
    return _WITH_USER.sub("", text)


def _shown(name: str, uri: str) -> str:
    shown = without_credentials(uri).rstrip("/")
    if "@" in shown:  # the / of a password ends the host, and the rest of the password would be a path
        raise ServerError(
            f"{name} cannot be read: it holds an @ behind a slash.",
            "an address such as https://host, or https://user:password@host with %2F for each / of the password",
            "Write it so, or give user and password by the variables for them.",
        )
    return shown


def _credentials(uri: str) -> tuple[str, str]:
    """As they stand before the host: a ? or a # of a password begins no query here."""
    given = _WITH_USER.search(uri)
    user, _, password = given[0].removesuffix("@").partition(":") if given else ("", "", "")
    return unquote(user), unquote(password)


def _read(name: str, path: Path) -> str:
    try:
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(
            f"{name}_FILE is {path}, which cannot be read: {type(error).__name__}.",
            "a text file that holds the secret and nothing else",
            f"Name another file, or set {name}.",
        ) from error
    if not secret or "\0" in secret:
        raise ServerError(
            f"{name}_FILE is {path}, which holds {'a zero byte' if secret else 'nothing'}.",
            "a text file that holds the secret and nothing else",
            f"Write the secret into it, or set {name}.",
        )
    return secret
