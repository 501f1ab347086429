"""`burnish serve` at its end: no run that it stopped holds its deployment's place."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Running

from flows import worker


class Server:
    """What Prefect's server knows of two runs; it is told of the end of one of them by the worker."""

    def __init__(self) -> None:
        self.slow, self.quick = uuid4(), uuid4()
        self.states: dict[UUID, State[Any]] = {self.slow: Running(), self.quick: Running()}

    async def set_flow_run_state(self, run: UUID, state: State[Any]) -> None:
        self.states[run] = state

    async def read_flow_run(self, run: UUID) -> SimpleNamespace:
        return SimpleNamespace(state=self.states[run])

    def at_work(self) -> Iterator[set[UUID]]:
        yield {self.slow, self.quick}
        self.states[self.quick] = Cancelled(message="by the worker")
        while True:
            yield set()


def test_each_run_that_was_stopped_ends_cancelled_whoever_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    server, said = Server(), list[str]()

    @asynccontextmanager
    async def client() -> AsyncGenerator[Server]:
        yield server

    seen = server.at_work()
    monkeypatch.setattr(worker, "get_client", client)
    monkeypatch.setattr(worker, "_runs_at_work", lambda: next(seen))
    monkeypatch.setattr(worker, "_POLL_SECONDS", 0.0)
    asyncio.run(worker._cancel_runs(said.append, asyncio.Event()))  # pyright: ignore[reportPrivateUsage]
    ends = {run: (state.name, state.message) for run, state in server.states.items()}
    assert ends == {
        server.slow: ("Cancelled", "Its worker was stopped."),
        server.quick: ("Cancelled", "by the worker"),
    }
    assert len(said) == 1


def test_a_server_that_is_gone_keeps_no_run_from_being_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is there a stack trace: whoever stops it cannot do anything about the server."""

    class Worker:
        limiter = SimpleNamespace(total_tokens=2)

        async def start(self, printer: object) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    async def gone(*_: object) -> None:
        raise httpx.ConnectError("All connection attempts failed")

    said = list[str]()
    monkeypatch.setattr(worker, "_cancel_runs", gone)
    environment = os.environ | {"PREFECT__FLOW_RUN_ID": str(uuid4())}
    at_work = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], env=environment)
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        while not worker._runs_at_work():  # pyright: ignore[reportPrivateUsage]
            ...
        asyncio.run(worker._work(Worker(), said.append))  # pyright: ignore
        assert at_work.wait(30) == -signal.SIGTERM
        assert bystander.poll() is None
    finally:
        for process in (at_work, bystander):
            process.kill()
            process.wait()
    assert said == [
        "Prefect's server does not answer: the run at work is stopped without it.",
        "Stopped.",
    ]
