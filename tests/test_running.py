"""Running a recipe from Python: what is refused before anything starts, and a server that goes away later."""

import socket
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from data_contracts.errors import Interrupted, PipelineError, ServerError
from flows import pipeline, running
from flows.plan import Wishes
from flows.running import run_recipe
from infra import records as states
from infra.ledger import Ledger
from infra.process_identity import this_process
from tests.factories import make_recipe


def test_a_prefect_server_that_does_not_answer_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/api"
        monkeypatch.setenv("PREFECT_API_URL", url)
        monkeypatch.setattr(running, "start_fork_server", lambda preload: None)
        with pytest.raises(ServerError, match=f"PREFECT_API_URL is {url}, and nothing answers there"):
            run_recipe("tiny", until="base", home=tmp_path / "home")


# Prefect's server goes away while a run is at work

SUMMARY = {"recipe": "small", "lines": [], "seconds": 0.0}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """With a run that was done before."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    ledger = Ledger(tmp_path / "ledger.db")
    _note_run(ledger, states.DONE)
    return ledger


def _note_run(ledger: Ledger, state: str) -> str:
    run_id = ledger.begin_run("small", {}, *this_process())
    ledger.end_run(run_id, state, SUMMARY | {"run_id": run_id} if state == states.DONE else None)
    return run_id


def _fail_to_tell(error: Exception | None) -> NoReturn:
    """As Prefect does: what the flow raised, and then that nobody can be told of it."""
    try:
        if error is not None:
            raise error
    finally:
        try:
            raise httpx.ConnectError("Connection refused")
        except httpx.ConnectError as refused:
            raise RuntimeError("Failed to reach API") from refused


def test_a_run_that_is_done_is_done_although_prefects_server_went_away(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    def flow(*_: object, override: str | None) -> None:
        del override
        ended.append(_note_run(ledger, states.DONE))
        _fail_to_tell(None)

    monkeypatch.setattr(pipeline, "post_training", flow)
    summary = running._run_flow(ledger, make_recipe(), Wishes())  # pyright: ignore[reportPrivateUsage]
    assert [summary.run_id] == ended


@pytest.mark.parametrize("error", [PipelineError("Stage sft failed"), Interrupted("The run was stopped.")])
def test_how_a_run_ended_is_told_although_prefects_server_went_away(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def flow(*_: object, override: str | None) -> None:
        del override
        _note_run(ledger, states.FAILED)
        _fail_to_tell(error)

    monkeypatch.setattr(pipeline, "post_training", flow)
    with pytest.raises(type(error), match=str(error)):
        running._run_flow(ledger, make_recipe(), Wishes())  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("state", [None, states.INTERRUPTED])
def test_a_run_that_prefects_server_did_not_let_begin_says_so(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    def flow(*_: object, override: str | None) -> None:
        del override
        if state is not None:
            _note_run(ledger, state)
        _fail_to_tell(None)

    monkeypatch.setattr(pipeline, "post_training", flow)
    with pytest.raises(ServerError, match=r"http://127\.0\.0\.1:1/api stopped answering during the run"):
        running._run_flow(ledger, make_recipe(), Wishes())  # pyright: ignore[reportPrivateUsage]


def test_a_mistake_of_ours_is_not_taken_for_a_server_that_is_gone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flow(*_: object, override: str | None) -> None:
        del override
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "post_training", flow)
    with pytest.raises(ZeroDivisionError):
        running._run_flow(ledger, make_recipe(), Wishes())  # pyright: ignore[reportPrivateUsage]
