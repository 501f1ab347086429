"""What the environment says about servers: where things go, and where credentials must not be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import ServerError
from infra.environment import run_environment
from infra.home import Home, open_home
from infra.settings import (
    mlflow_server,
    prefect_server,
    secrets_from_files,
    server_environment_of,
    without_credentials,
)


@pytest.mark.parametrize(
    "uri", ["", "sqlite:////elsewhere/mlflow.db", "file:///tmp", "databricks", "./mlruns"]
)
def test_an_address_that_is_no_server_leaves_the_home_its_own_database(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    home = Home(tmp_path)
    assert home.mlflow_uri == home.own_mlflow_uri == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert not home.has_mlflow


def test_a_server_is_used_in_place_of_the_homes_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example:8443/prefix/")
    assert Home(tmp_path).mlflow_uri == "https://mlflow.example:8443/prefix"
    assert Home(tmp_path).has_mlflow


def test_credentials_in_an_address_move_to_where_clients_look_for_them() -> None:
    given = {
        "MLFLOW_TRACKING_URI": "http://ann:p%40ss@mlflow.example:5000",
        "PREFECT_API_URL": "http://bob:sesame@prefect.example:4200/api",
    }
    assert server_environment_of(given) == {
        "MLFLOW_TRACKING_URI": "http://mlflow.example:5000",
        "MLFLOW_TRACKING_USERNAME": "ann",
        "MLFLOW_TRACKING_PASSWORD": "p@ss",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",
        "PREFECT_API_URL": "http://prefect.example:4200/api",
        "PREFECT_API_AUTH_STRING": "bob:sesame",
    }
    assert prefect_server(given) == "http://prefect.example:4200/api"


def test_what_a_person_set_is_left_as_it_is() -> None:
    given = {"MLFLOW_TRACKING_URI": "http://mlflow.example", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    assert server_environment_of(given) == {"MLFLOW_TRACKING_URI": "http://mlflow.example"}
    assert server_environment_of({}) == {}


def test_a_secret_comes_from_a_file_unless_it_is_given(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("sesame\n")
    named = {"MLFLOW_TRACKING_PASSWORD_FILE": str(file), "PREFECT_API_AUTH_STRING_FILE": str(file)}
    assert secrets_from_files(named | {"PREFECT_API_AUTH_STRING": "own:one", "OTHER_FILE": str(file)}) == {
        "MLFLOW_TRACKING_PASSWORD": "sesame"
    }


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secrets_file_that_cannot_be_read_is_named_and_not_its_content(
    content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ServerError, match=f"MLFLOW_TRACKING_PASSWORD_FILE is {file}, which cannot be read"):
        server_environment_of({"MLFLOW_TRACKING_PASSWORD_FILE": str(file)})


_SECRET = st.text(st.characters(codec="ascii", exclude_characters="/@ \t\r\n", min_codepoint=33), min_size=1)


@given(user=_SECRET, password=_SECRET)
def test_no_address_that_is_shown_holds_a_user_or_a_password(user: str, password: str) -> None:
    uri = f"https://{user}:{password}@mlflow.example:5000"
    assert mlflow_server({"MLFLOW_TRACKING_URI": uri}) == "https://mlflow.example:5000"
    shown = without_credentials(f"nothing answers at {uri}/api, nor at http://x@y")
    assert shown == "nothing answers at https://mlflow.example:5000/api, nor at http://y"


@given(user=_SECRET, password=_SECRET)
def test_credentials_in_an_address_are_the_ones_that_were_given(user: str, password: str) -> None:
    """Quoted where they have to be and nowhere else, as people write them: a # or a ? stays."""
    by_hand = [part.replace("%", "%25").replace(":", "%3A") for part in (user, password)]
    joined = server_environment_of(
        {"PREFECT_API_URL": f"https://{by_hand[0]}:{by_hand[1]}@prefect.example/api"}
    )
    assert joined["PREFECT_API_AUTH_STRING"] == f"{user}:{password}"


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "PREFECT_API_URL"])
def test_a_password_with_a_slash_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(ServerError, match=f"{name} cannot be read: it holds an @ behind a slash") as refused:
        server_environment_of({name: "https://user:ses/ame@team.example"})
    assert "ses" not in str(refused.value) and "ame@" not in str(refused.value)


def test_a_run_joins_the_servers_that_the_environment_names(tmp_path: Path) -> None:
    given = {
        "PREFECT_API_URL": "http://a:b@prefect.example/api",
        "MLFLOW_TRACKING_URI": "http://c:d@mlflow.example",
    }
    added = run_environment(open_home(tmp_path), given, needs_hub=False)
    assert added["PREFECT_API_URL"] == "http://prefect.example/api"
    assert added["MLFLOW_TRACKING_URI"] == "http://mlflow.example"
    assert (added["MLFLOW_TRACKING_USERNAME"], added["PREFECT_API_AUTH_STRING"]) == ("c", "a:b")


def with_secrets(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.with_secrets", *command],
        env=os.environ | environment,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )


def test_a_command_sees_the_secret_and_not_the_file_alone(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("sesame\n")
    show = (sys.executable, "-c", "import os, sys; print(os.environ['PGPASSWORD']); sys.exit(3)")
    done = with_secrets(*show, PGPASSWORD_FILE=str(tmp_path / "password"))
    assert (done.returncode, done.stdout, done.stderr) == (3, "sesame\n", "")


def test_a_command_is_not_run_without_its_secret(tmp_path: Path) -> None:
    done = with_secrets("echo", "ran", PGPASSWORD_FILE=str(tmp_path / "none"))
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (1, "", False)
    assert f"PGPASSWORD_FILE is {tmp_path / 'none'}, which cannot be read" in done.stderr


@pytest.mark.parametrize(
    ("content", "found"), [("", "holds nothing"), (" \n", "holds nothing"), ("a\0b", "zero byte")]
)
def test_a_file_without_a_secret_is_named_and_what_it_holds_is_not(
    content: str, found: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(ServerError, match=found) as refused:
        secrets_from_files({"HF_TOKEN_FILE": str(tmp_path / "token")})
    assert "a\0b" not in str(refused.value)
