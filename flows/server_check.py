"""Servers that the environment names are asked once before a run begins: it must not end hours later for them."""

import base64
import os
import re

import httpx

from data_contracts.errors import ServerError
from infra.home import Home
from infra.settings import without_credentials

_ANSWER_SECONDS = 10.0
_VERSION = re.compile(r'"\d+\.[^"\s]*"')


def require_mlflow(home: Home) -> None:
    """Raises ServerError where the MLflow server that the environment names cannot be used."""
    if home.mlflow_uri != home.own_mlflow_uri:
        from infra.mlflow_database import connect

        connect(home.mlflow_uri, home.mlflow_artifacts_dir)


def require_answer(api_url: str) -> None:
    """Raises ServerError where the Prefect server that the environment names is not there, or refuses us."""
    shown = without_credentials(api_url).rstrip("/")
    given = os.environ.get("PREFECT_API_AUTH_STRING", "")
    basic = base64.b64encode(given.encode()).decode()
    headers = {"Authorization": f"Basic {basic}"} if given else {}
    try:
        # Its health may be asked by anybody, so it would say nothing about credentials.
        answer = httpx.get(f"{shown}/admin/version", headers=headers, timeout=_ANSWER_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerError(
            f"PREFECT_API_URL is {shown}, and nothing answers there: {str(error).rstrip('.')}.",
            "a running Prefect server",
            "Start it (`burnish ui --detach` starts this home's), or unset PREFECT_API_URL.",
        ) from error
    if answer.status_code == 401:
        raise ServerError(
            f"The Prefect server {shown} does not accept PREFECT_API_AUTH_STRING."
            if given
            else f"The Prefect server {shown} asks for credentials, and PREFECT_API_AUTH_STRING is not set.",
            "the name:password that the server was started with",
            "Set PREFECT_API_AUTH_STRING, or PREFECT_API_AUTH_STRING_FILE to a file that holds it.",
        )
    if not (answer.is_success and _VERSION.fullmatch(answer.text)):  # a web page answers every path with 200
        raise ServerError(
            f"What answers at PREFECT_API_URL {shown} is no Prefect server that works "
            f"(status {answer.status_code}).",
            "the address of its API, which ends in /api",
            "Correct it, or unset PREFECT_API_URL.",
        )
