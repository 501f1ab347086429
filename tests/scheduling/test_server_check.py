"""The Prefect server that the environment names is asked once: what is none is a sentence."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from data_contracts.errors import ServerError
from flows.server_check import require_answer


@contextmanager
def _answering(status: int, body: str) -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_says_its_version_is_one() -> None:
    with _answering(200, '"3.7.8"') as address:
        require_answer(address)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html></html>"), (200, '{"detail": "Not here"}'), (404, ""), (302, ""), (500, "")],
)
def test_something_else_that_answers_is_told_from_a_server_that_is_not_there(status: int, body: str) -> None:
    with _answering(status, body) as address, pytest.raises(ServerError) as refused:
        require_answer(address)
    assert f"{address} is no Prefect server that works (status {status})" in str(refused.value)
    assert "ends in /api" in str(refused.value)


@pytest.mark.parametrize("given", [None, "wrong:one"])
def test_credentials_that_are_refused_are_named_and_not_repeated(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    if given is not None:
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", given)
    with (
        _answering(401, "") as address,
        pytest.raises(ServerError, match="PREFECT_API_AUTH_STRING") as refused,
    ):
        require_answer(address)
    assert "wrong:one" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["nonsense", "http://127.0.0.1:no/api", "http://127.0.0.1:1/api", "http://[x/api"]
)
def test_an_address_where_nothing_can_be_is_a_sentence(address: str) -> None:
    with pytest.raises(ServerError, match="nothing answers there"):
        require_answer(address)
