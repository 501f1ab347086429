"""An MLflow server that cannot be used is named in a sentence, in seconds, whatever is wrong with it."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_contracts.errors import ServerError
from infra import mlflow_server
from infra.mlflow_server import require_server
from infra.registry import ModelRegistry

_HOME = "0123456789abcdef"


class _Answers(BaseHTTPRequestHandler):
    status, body, url = 200, "", ""

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def answers() -> Iterator[type[_Answers]]:
    class Answers(_Answers): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Answers.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Answers
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, "", "does not accept the user and password"),
        (403, "Invalid Host header", "refuses requests of this user or under this host name"),
        (404, "<h1>nginx</h1>", "no MLflow server that works .status 404"),
        (500, "", "no MLflow server that works .status 500"),
        (200, "<h1>a page</h1>", "no MLflow server that works .status 200"),
        (200, "[]", "no MLflow server that works .status 200"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(
    status: int, body: str, said: str, answers: type[_Answers], tmp_path: Path
) -> None:
    answers.status, answers.body = status, body
    with pytest.raises(ServerError, match=said):
        require_server(answers.url, tmp_path)


def test_a_server_of_another_home_is_refused_and_one_of_this_home_is_not(
    answers: type[_Answers], tmp_path: Path
) -> None:
    experiment = '{"experiment": {"experiment_id": "1", "lifecycle_stage": "active", "tags": [%s]}}'
    answers.body = experiment % f'{{"key": "burnish.home", "value": "{_HOME}"}}'
    with pytest.raises(ServerError, match=f"serves another home .{_HOME}"):
        require_server(answers.url, tmp_path)
    (tmp_path / "home-id").write_text(_HOME)
    require_server(answers.url, tmp_path)
    answers.body = experiment % ""
    with pytest.raises(ServerError, match="serves another home"):
        require_server(answers.url, tmp_path)


def test_nobody_there_is_said_at_once_and_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url.replace("://", "://ann:sesame@"))
        with pytest.raises(
            ServerError, match=f"{url}, and nothing answers there: connection refused"
        ) as caught:
            ModelRegistry(url, tmp_path)
    told: BaseException | None = caught.value
    while told is not None:
        assert "sesame" not in str(told)
        told = told.__cause__


def test_a_server_that_accepts_and_never_answers_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_server, "_ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServerError, match="nothing answers there: timed out"):
            require_server(url, tmp_path)
