"""Who is told, through a real web server, a real mail server and a real process; and what is never said."""

import contextlib
import json
import logging
import os
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed
from pydantic import ValidationError

from data_contracts.errors import DataError, GateRefused, HomeError, Interrupted, RecipeError
from data_contracts.notify_config import Notify
from flows import announcing
from flows.announcing import announced, tell, tell_of_crash
from flows.pipeline import post_training
from flows.recipe import Recipe
from infra import notifying
from infra.home import open_home
from infra.ledger import Ledger
from infra.notifying import send
from tests.factories import make_recipe

MESSAGE = {
    "event": "failure",
    "title": "small: the run failed",
    "text": "small: the run failed\n\u202eé",
    "models": [],
}
TOKEN = "T0k3n-that-nobody-may-see"


@dataclass
class Web:
    """What a web server on loopback was sent, and what it answers."""

    status: int = 200
    port: int = 0
    paths: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{TOKEN}?key={TOKEN}"


@pytest.fixture
def web() -> Iterator[Web]:
    seen = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.paths.append(self.path)
            seen.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(seen.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        seen.port = port
        yield seen


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]  # pyright: ignore
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_gets_the_message_as_json(web: Web) -> None:
    assert send(Notify(webhook="env:HOOK"), MESSAGE, {"HOOK": web.url}) == []
    assert web.bodies == [MESSAGE]
    assert web.paths == [f"/{TOKEN}?key={TOKEN}"]


def test_what_rows_and_completions_say_calls_nobody_in_a_chat_and_hides_no_address(web: Web) -> None:
    hostile = {**MESSAGE, "text": "answered <!channel> @here <https://evil|here> & \udcff, expected 2 > 1"}
    assert send(Notify(webhook="env:HOOK"), hostile, {"HOOK": web.url}) == []
    (seen,) = web.bodies
    assert seen["text"] == (
        "answered &lt;!channel&gt; @\u200bhere &lt;https://evil|here&gt; &amp; \udcff, expected 2 &gt; 1"
    )


def test_an_answer_without_end_keeps_nobody() -> None:
    class Endless(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"x" * 65536)

        def log_message(self, *_: object) -> None: ...

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Endless)) as port:
        assert send(Notify(webhook="env:HOOK"), MESSAGE, {"HOOK": f"http://127.0.0.1:{port}/"}) == []


def test_whoever_takes_too_long_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        notify = Notify(webhook="env:HOOK", command=(sys.executable, "-c", "import time; time.sleep(60)"))
        assert send(notify, MESSAGE, {"HOOK": url}) == [
            "The webhook env:HOOK was not told: it did not answer within 0.2 s.",
            f"The command {sys.executable} was not told: it did not end within 0.2 s.",
        ]


def test_a_command_that_is_none_is_said_in_words() -> None:
    assert send(Notify(command=("/nowhere/at/all",)), MESSAGE, {}) == [
        "The command /nowhere/at/all was not told: it cannot be started (No such file or directory)."
    ]


def test_an_address_may_lie_in_a_file(web: Web, tmp_path: Path) -> None:
    (tmp_path / "hook").write_text(web.url + "\n")
    assert send(Notify(webhook=f"file:{tmp_path / 'hook'}"), MESSAGE, {}) == []
    assert web.bodies == [MESSAGE]


def test_a_command_reads_the_message_and_no_shell_reads_its_arguments(tmp_path: Path) -> None:
    program = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2] + sys.stdin.read())"
    command = (sys.executable, "-c", program, str(tmp_path / "told"), "$(touch /tmp/x); ")
    assert send(Notify(command=command), MESSAGE, dict(os.environ)) == []
    head, _, body = (tmp_path / "told").read_text().partition("; ")
    assert (head, json.loads(body)) == ("$(touch /tmp/x)", MESSAGE)


def test_a_mail_server_gets_a_mail() -> None:
    lines: list[str] = []

    class Mail(socketserver.StreamRequestHandler):
        """As much of SMTP (RFC 5321) as a client needs."""

        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                lines.append(line.decode().rstrip())
                verb = line[:4].upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    while (text := self.rfile.readline()) != b".\r\n":
                        lines.append(text.decode().rstrip())
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")

    with _served(socketserver.TCPServer(("127.0.0.1", 0), Mail)) as port:
        address = f"mailto://127.0.0.1:{port}?from=burnish@example.org&to=team@example.org"
        assert send(Notify(email="env:MAIL"), MESSAGE, {"MAIL": address}) == []
    assert any(line.startswith("RCPT TO:<team@example.org>") for line in map(str.strip, lines)) or any(
        "team@example.org" in line for line in lines
    )
    assert any("small: the run failed" in line for line in lines)


@pytest.mark.parametrize(
    ("status", "what"), [(500, "status 500"), (404, "status 404"), (302, "status 302")], ids=str
)
def test_an_answer_that_is_no_success_is_said_and_no_redirect_is_followed(
    web: Web, status: int, what: str
) -> None:
    web.status = status
    assert send(Notify(webhook="env:HOOK"), MESSAGE, {"HOOK": web.url}) == [
        f"The webhook env:HOOK was not told: it answered with {what}."
    ]
    assert len(web.paths) == 1


@pytest.mark.parametrize(
    ("notify", "environment"),
    [
        (Notify(webhook="env:HOOK"), {}),
        (Notify(webhook="env:HOOK"), {"HOOK": ""}),
        (Notify(webhook="env:HOOK"), {"HOOK": f"http://127.0.0.1:1/{TOKEN}"}),
        (Notify(webhook="env:HOOK"), {"HOOK": f"file:///etc/passwd?{TOKEN}"}),
        (Notify(webhook="env:HOOK"), {"HOOK": f"http://[{TOKEN}"}),
        (Notify(webhook="env:HOOK"), {"HOOK": f"http://\x00{TOKEN}"}),
        (Notify(webhook="env:HOOK"), {"HOOK": f"http://{TOKEN}.\udcff/"}),
        (Notify(webhook="file:/nowhere/at/all"), {}),
        (Notify(email="env:HOOK"), {"HOOK": f"slack://{TOKEN}"}),
        (Notify(email="env:HOOK"), {"HOOK": f"mailto://{TOKEN}"}),
        (Notify(email="env:HOOK"), {"HOOK": f"mailto://me:{TOKEN}@127.0.0.1:1?to=a@b.c"}),
        (Notify(command=("/nowhere/at/all",)), {}),
        (Notify(command=("/bin/false",)), {}),
    ],
    ids=lambda each: repr(each).replace("\x00", "0"),
)
def test_whoever_cannot_be_told_is_named_once_and_no_address_is_said_or_logged(
    notify: Notify,
    environment: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    (failure,) = send(notify, MESSAGE, environment)
    assert "was not told: " in failure
    assert TOKEN not in failure + caplog.text + "".join(capfd.readouterr())


def test_a_message_that_arrives_leaves_no_address_in_a_log_either(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    send(Notify(webhook="env:HOOK"), MESSAGE, {"HOOK": web.url})
    assert TOKEN not in caplog.text


def test_one_who_cannot_be_told_keeps_nobody_else_from_it(web: Web) -> None:
    notify = Notify(webhook="env:HOOK", command=("/bin/false",), email="env:MAIL")
    assert len(send(notify, MESSAGE, {"HOOK": web.url})) == 2
    assert web.bodies == [MESSAGE]


@pytest.mark.parametrize("field", ["webhook", "email"])
@pytest.mark.parametrize(
    "value", [f"https://hooks.example.org/{TOKEN}", "env:", "env:A B", "env:a\n", "file:x", "HOOK"]
)
def test_an_address_itself_is_no_setting_and_is_not_repeated(field: str, value: str) -> None:
    with pytest.raises(ValidationError):
        Notify.model_validate({field: value})
    with pytest.raises(RecipeError) as refused:
        make_recipe({"run.notify": {field: value}})
    assert f"run.notify.{field}" in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_nobody_to_tell_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="a webhook, an email or a command"):
        Notify.model_validate({"on": ["success"]})


# What is told


@pytest.fixture
def told(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    monkeypatch.setenv("BURNISH_HOME", str(open_home(tmp_path / "home").path))
    monkeypatch.setenv("HOOK", web.url)
    return web


def _recipe(*on: str) -> Recipe:
    return make_recipe({"run.notify": {"webhook": "env:HOOK"} | ({"on": list(on)} if on else {})})


@pytest.mark.parametrize(
    ("error", "events"),
    [
        (DataError("row 3 has no prompt"), ["failure"]),
        (GateRefused("not distinguishable"), ["refusal"]),
        (ZeroDivisionError("x"), ["failure"]),
        (Interrupted("stopped"), []),
        (KeyboardInterrupt(), []),
    ],
    ids=repr,
)
def test_failures_and_refusals_are_told_and_raised_on_and_a_stop_is_no_news(
    told: Web, error: BaseException, events: list[str]
) -> None:
    with pytest.raises(type(error)), announced(_recipe()):
        raise error
    assert [body["event"] for body in told.bodies] == events
    for body in told.bodies:
        assert str(error).splitlines()[0] in body["text"] and body["recipe"] == "small"


@pytest.fixture
def nightly(told: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """Runs are of one deployment, in a home that has a ledger."""
    monkeypatch.setattr(announcing.current_deployment, "get_id", lambda: "nightly")
    Ledger(Path(os.environ["BURNISH_HOME"]) / "ledger.db")
    return told


def _night(error: Exception | None, *on: str) -> None:
    with contextlib.suppress(Exception), announced(_recipe(*on)):
        if error is not None:
            raise error


def test_a_deployment_that_fails_every_night_says_so_once_and_once_that_it_is_well(nightly: Web) -> None:
    """Numbers that differ from night to night make no other failure."""
    for night in range(3):
        _night(
            DataError(f"held_out.parquet does not exist. Log: /h/2026112{night}-020000-ab{night}2/sft.log")
        )
    for _ in range(3):
        _night(DataError("tosses.jsonl does not exist"))
    for _ in range(2):
        _night(None)
    _night(DataError("tosses.jsonl does not exist"))
    assert [body["event"] for body in nightly.bodies] == ["failure", "failure", "recovery", "failure"]
    assert nightly.bodies[2]["title"] == "small: runs are well again"


def test_a_failure_that_lasts_is_told_again_after_a_week(
    nightly: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 24 * 3600.0
    for night in range(15):
        monkeypatch.setattr(announcing.time, "time", lambda night=night: night * day)
        _night(DataError("held_out.parquet does not exist"))
    assert len(nightly.bodies) == 3, "in the first night, and after one and two weeks"


def test_a_failure_that_nobody_could_be_told_of_is_told_the_next_night(nightly: Web) -> None:
    for nightly.status in (500, 200, 200):
        _night(DataError("held_out.parquet does not exist"))
    assert len(nightly.bodies) == 2


def test_who_does_not_hear_of_failures_does_not_hear_of_the_recovery(nightly: Web) -> None:
    _night(DataError("held_out.parquet does not exist"), "failure")
    _night(None, "success")
    assert [body["event"] for body in nightly.bodies] == ["failure"]


def test_a_gates_refusal_is_no_recovery(nightly: Web) -> None:
    _night(DataError("held_out.parquet does not exist"))
    _night(GateRefused("not distinguishable"))
    assert [body["event"] for body in nightly.bodies] == ["failure", "refusal"]


def test_a_run_by_hand_tells_of_every_failure(told: Web) -> None:
    Ledger(Path(os.environ["BURNISH_HOME"]) / "ledger.db")
    for _ in range(2):
        _night(DataError("held_out.parquet does not exist"))
    assert [body["event"] for body in told.bodies] == ["failure", "failure"]


def test_a_ledger_that_cannot_be_read_is_told_of_as_well(nightly: Web) -> None:
    for path in Path(os.environ["BURNISH_HOME"]).glob("ledger.db*"):
        path.unlink()
    (Path(os.environ["BURNISH_HOME"]) / "ledger.db").write_text("this is no database" * 100)
    with pytest.raises(HomeError, match="cannot be used"), announced(_recipe()):
        raise HomeError("The ledger cannot be used")
    assert [body["event"] for body in nightly.bodies] == ["failure"]


def test_only_what_was_asked_for_is_told(told: Web) -> None:
    for event in ("failure", "refusal", "promotion", "success"):
        tell(_recipe("success", "promotion"), event, "text")
    assert [body["event"] for body in told.bodies] == ["promotion", "success"]


def test_a_hook_that_fails_leaves_the_error_as_it_is_and_says_so_in_a_line(
    told: Web, caplog: pytest.LogCaptureFixture
) -> None:
    told.status = 500
    with pytest.raises(DataError, match="row 3"), announced(_recipe()):
        raise DataError("row 3")
    assert [record.message for record in caplog.records if record.name == "burnish"] == [
        "The webhook env:HOOK was not told: it answered with status 500."
    ]


@pytest.mark.parametrize(("state", "events"), [("running", ["failure"]), ("interrupted", [])])
def test_a_lost_process_is_told_and_one_that_somebody_stopped_is_not(
    told: Web, state: str, events: list[str]
) -> None:
    recipe = _recipe()
    ledger = Ledger(Path(os.environ["BURNISH_HOME"]) / "ledger.db")
    run_id = ledger.begin_run("small", {}, 1, 0.0)
    lost = FlowRun(flow_id=uuid4(), parameters={"recipe": recipe.model_dump(mode="json", exclude_unset=True)})
    ledger.note_run_ids(run_id, str(lost.id), None)
    if state != "running":
        ledger.end_run(run_id, state, None)
    tell_of_crash(post_training, lost, Crashed(message="Process exited with status code -9."))
    assert [body["event"] for body in told.bodies] == events
    assert all("status code -9" in body["text"] for body in told.bodies)
