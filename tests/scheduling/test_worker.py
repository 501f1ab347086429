"""`burnish serve` at its end: no run that it stopped holds its deployment's place."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

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
