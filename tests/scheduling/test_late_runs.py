"""A deployment that is made anew: what was late by its old word does not run by it."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from flows import late_runs
from flows.late_runs import renew_late_runs

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)


class Server:
    """Knows the runs that wait."""

    def __init__(self, *minutes: int, auto_scheduled: bool = True, tags: tuple[str, ...] = ()) -> None:
        dates = [NOW + timedelta(minutes=each) for each in minutes]
        self.runs = [
            SimpleNamespace(id=uuid4(), expected_start_time=date, auto_scheduled=auto_scheduled, tags=tags)
            for date in dates
        ]
        self.ended: dict[UUID, Any] = {}
        self.made: list[UUID] = []
        self.tags: list[str] = []

    def read_flow_runs(self, **_: object) -> list[SimpleNamespace]:
        return self.runs

    def set_flow_run_state(self, run: UUID, state: Any) -> None:
        self.ended[run] = state.name

    def create_flow_run_from_deployment(self, deployment: UUID, tags: list[str]) -> None:
        self.made.append(deployment)
        self.tags = tags


@pytest.mark.parametrize(
    ("server", "num_ended", "num_made"),
    [
        (Server(-120, -60, -1, 60), 3, 1),
        (Server(60, 120), 0, 0),
        (Server(), 0, 0),
        (Server(-60, auto_scheduled=False), 0, 0),
        (Server(-60, auto_scheduled=False, tags=("makes up for late runs",)), 1, 1),
    ],
)
def test_one_run_of_the_recipe_as_it_is_now_makes_up_for_all_that_are_late(
    server: Server, num_ended: int, num_made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def client(**_: object) -> Generator[Server]:
        yield server

    monkeypatch.setattr(late_runs, "get_client", client)
    deployment = uuid4()
    renew_late_runs(deployment, NOW)
    assert server.ended == {run.id: "Cancelled" for run in server.runs[:num_ended]}
    assert server.made == [deployment] * num_made
    assert "makes up for late runs" in server.tags or not num_made
