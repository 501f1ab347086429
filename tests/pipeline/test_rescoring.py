"""Rollouts judged again: in order, whole, and the same whichever runner had them, also when a worker is killed."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from data_contracts.errors import (
    BurnishError,
    DataError,
    GroundTruthError,
    RecipeError,
    ServerError,
    StageError,
)
from data_contracts.rows import RowKind
from flows import task_runners
from flows.cli.verifier_rescore import rescore as rescore_command
from flows.task_runners import RunnerName, require_runner, task_runner
from infra.environment import run_environment
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.records import Withdrawal
from infra.run_server import run_server
from infra.warehouse.warehouse import Warehouse
from stages.comparison import wilson_interval
from stages.verify import ROLLOUT_SCHEMA

if TYPE_CHECKING:
    from flows.rescoring import Rescored

TELLING = {"telling": "tests.pipeline.telling_verifiers:TELLING"}
NUM_ROWS = 60
CHUNK = 8

Rescore = Callable[..., "Rescored"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a Prefect server of its own, which this process joins."""
    home = open_home(tmp_path_factory.mktemp("home") / "burnish")
    Ledger(home.ledger_path)
    with pytest.MonkeyPatch.context() as patch, run_server(home) as server:
        for name, value in run_environment(home, {}, needs_hub=False).items():
            patch.setenv(name, value)
        patch.setenv("PREFECT_API_URL", server.api_url)
        from prefect import settings
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        server.wait_until_it_answers()
        here = {
            settings.PREFECT_API_URL: server.api_url,
            settings.PREFECT_HOME: home.path / "prefect",
            settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # a flow ends when its heart has beaten
        }
        with settings.temporary_settings(here):
            yield home
            for worker in (APILogWorker, EventsWorker):
                worker.drain_all()  # at exit they would wait for a server that is gone


@pytest.fixture
def rescore(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rescore:
    """The flow with small chunks, on the runner it is given."""
    from flows import rescoring

    monkeypatch.setattr(rescoring, "_CHUNK_ROWS", CHUNK)

    def run(
        *arguments: Any, runner: RunnerName = "threads", address: str | None = None, **options: Any
    ) -> "Rescored":
        flow = rescoring.rescore.with_options(task_runner=task_runner(runner, address, tmp_path))
        return flow(*arguments, **options)

    return run


def _rollout(number: int, **changes: Any) -> dict[str, Any]:
    """Every third completion is right by exact_number; every second had reward 1."""
    return {
        "problem_id": f"p{number}",
        "sample": 0,
        "prompt": [{"role": "user", "content": f"What is {number}?"}],
        "ground_truth": str(number),
        "verifier": "exact_number",
        "arguments": "{}",
        "source": "test",
        "completion": str(number + (number % 3 > 0)),
        "completion_ids": [number],
        "finished": True,
        "reward": float(number % 2),
        "reason": "old",
        "parts": "{}",
        "model": "m",
        "temperature": 1.0,
        "top_p": 1.0,
    } | changes


def _publish(home: Home, name: str, **changes: dict[int, Any]) -> Warehouse:
    """Rollouts as `name@1`; `changes` maps a column to its values by row."""
    by_row = [{column: of[n] for column, of in changes.items() if n in of} for n in range(NUM_ROWS)]
    rows = [_rollout(number, **changed) for number, changed in enumerate(by_row)]
    warehouse = Warehouse(home)
    warehouse.publish(name, RowKind.rollouts, pa.Table.from_pylist(rows, schema=ROLLOUT_SCHEMA), "key")
    return warehouse


def _rows(warehouse: Warehouse, reference: str) -> list[dict[str, Any]]:
    return warehouse.reader.read(warehouse.get(reference)).to_pylist()


def test_new_verdicts_stand_in_the_place_of_the_old_ones(home: Home, rescore: Rescore) -> None:
    warehouse = _publish(home, "plain")
    rescored = rescore("plain", "plain")
    assert (str(rescored.published.version), rescored.published.is_new) == ("plain@2", True)
    before, after = _rows(warehouse, "plain@1"), _rows(warehouse, "plain@2")
    assert [row["reward"] for row in after] == [float(number % 3 == 0) for number in range(NUM_ROWS)]
    assert after[4]["reason"] != "old"
    verdict = {"reward", "reason", "parts"}
    for old, new in zip(before, after, strict=True):
        assert {k: v for k, v in old.items() if k not in verdict} == {
            k: v for k, v in new.items() if k not in verdict
        }


def test_what_changed_is_counted(home: Home, rescore: Rescore) -> None:
    """Of six numbers in a row 0 rises, 1 and 5 fall, and 2, 3 and 4 stay."""
    _publish(home, "counted")
    rescored = rescore("counted", "counted")
    assert (rescored.rose, rescored.fell, rescored.stayed) == (10, 20, 30)
    assert (rescored.right_before, rescored.right_after) == (30, 20)
    assert rescored.accuracy(rescored.right_after) == (1 / 3, *wilson_interval(20, 60))


def test_the_same_verdicts_make_no_second_version(home: Home, rescore: Rescore) -> None:
    warehouse = _publish(home, "again")
    first = rescore("again@1", "again")
    assert not rescore("again@1", "again").published.is_new
    second = rescore("again@2", "again")
    assert (second.published.is_new, second.stayed) == (False, NUM_ROWS)
    assert second.published.version == first.published.version
    assert len(warehouse.versions("again")) == 2
    executions = Ledger(home.ledger_path).find_by_output("again", 2)
    assert [(e.kind, e.inputs[0].version) for e in executions] == [("rescore", 1)]


def test_another_verifier_is_named_by_the_rows_it_judged(home: Home, rescore: Rescore) -> None:
    warehouse = _publish(home, "other", arguments={3: '{"of": "another verifier"}'})
    rescore("other", "by_text", "exact_match")
    assert {(row["verifier"], row["arguments"]) for row in _rows(warehouse, "by_text")} == {
        ("exact_match", "{}")
    }
    assert [row["verifier"] for row in _rows(warehouse, "other")] == ["exact_number"] * NUM_ROWS


@pytest.mark.parametrize("given", [{}, {"verifier": "exact_numbre"}])
def test_an_unknown_verifier_is_refused_before_any_task(
    home: Home, rescore: Rescore, given: dict[str, str]
) -> None:
    from flows import rescoring

    warehouse = _publish(home, "unknown", verifier={NUM_ROWS - 1: "exact_numbre"})
    told: list[tuple[int, int]] = []
    token = rescoring.on_progress.set(lambda done, total: told.append((done, total)))
    with pytest.raises(RecipeError, match=r"exact_numbre.*\n.*exact_number"):
        rescore("unknown", "unknown", **given)
    rescoring.on_progress.reset(token)
    assert told == []
    assert len(warehouse.versions("unknown")) == 1


def test_progress_counts_rows_up_to_all_of_them(home: Home, rescore: Rescore) -> None:
    from flows import rescoring

    _publish(home, "progress")
    told: list[tuple[int, int]] = []
    token = rescoring.on_progress.set(lambda done, total: told.append((done, total)))
    rescore("progress", "progress")
    rescoring.on_progress.reset(token)
    assert told == [(done, NUM_ROWS) for done in (*range(0, NUM_ROWS, CHUNK), NUM_ROWS)]


def test_rows_whose_verifier_fails_stay_out_and_are_counted(home: Home, rescore: Rescore) -> None:
    warehouse = _publish(home, "failing", completion={7: "raise", 50: "raise"})
    rescored = rescore("failing", "kept", "telling", added=TELLING)
    assert (rescored.without_verdict, rescored.num_rows) == (2, NUM_ROWS - 2)
    kept = [row["problem_id"] for row in _rows(warehouse, "kept")]
    assert kept == [f"p{number}" for number in range(NUM_ROWS) if number not in (7, 50)]


def test_withdrawn_rows_are_neither_judged_nor_kept_and_the_others_keep_their_numbers(
    home: Home, rescore: Rescore
) -> None:
    changes = {"source": {5: "leaked"}, "ground_truth": {5: "uncheckable", 37: "uncheckable"}}
    warehouse = _publish(home, "leaky", **changes)
    withdrawal = Withdrawal(0.0, "source leaked", "leaked", b"", "tester", "a leak", (), ())
    Ledger(home.ledger_path).withdraw(withdrawal)
    rescored = rescore("leaky", "no_leak", "exact_match")
    assert (rescored.withdrawn, rescored.num_rows) == (1, NUM_ROWS - 1)
    assert "p5" not in [row["problem_id"] for row in _rows(warehouse, "no_leak")]
    with pytest.raises(GroundTruthError, match=r"^Row 37: "):
        rescore("leaky", "no_leak", "telling", added=TELLING)


def test_too_many_failures_make_no_version(home: Home, rescore: Rescore) -> None:
    """One per cent of the rows, or of 200 where there are fewer."""
    warehouse = _publish(home, "too_many", completion=dict.fromkeys((7, 8, 50), "raise"))
    with pytest.raises(StageError, match=r"3 of 60 verdicts.*of its own making"):
        rescore("too_many", "too_many", "telling", added=TELLING)
    assert len(warehouse.versions("too_many")) == 1


def test_a_problem_that_cannot_be_checked_is_an_error_with_its_row(home: Home, rescore: Rescore) -> None:
    warehouse = _publish(home, "fault", ground_truth={37: "uncheckable"})
    with pytest.raises(GroundTruthError, match=r"^Row 37: The ground truth is uncheckable"):
        rescore("fault", "fault", "telling", added=TELLING)
    assert len(warehouse.versions("fault")) == 1


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("prompt", "no messages", "cannot be judged"),
        ("prompt", [{"role": "user", "content": None}], "without content in prompt"),
        ("reward", "high", "cannot be judged"),
        ("completion", None, "without completion"),
    ],
)
def test_rollouts_that_were_imported_broken_are_refused(
    home: Home, rescore: Rescore, column: str, value: Any, found: str
) -> None:
    name = f"broken_{column}_{len(found)}"
    rows = [_rollout(number) | {column: value} for number in range(2)]
    if value is None:
        rows[0] = _rollout(0)
    Warehouse(home).publish(name, RowKind.rollouts, pa.Table.from_pylist(rows), "key")
    with pytest.raises(DataError, match=found):
        rescore(name, name)


def test_other_rows_than_rollouts_are_refused(home: Home, rescore: Rescore) -> None:
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    Warehouse(home).publish("chats", RowKind.sft, pa.Table.from_pylist([row]), "key")
    with pytest.raises(DataError, match="chats@1 holds sft rows"):
        rescore("chats", "chats")


@pytest.mark.servers
def test_dask_judges_in_processes_of_its_own_and_outlives_one_of_them(
    home: Home, rescore: Rescore, tmp_path: Path
) -> None:
    warehouse = _publish(home, "dasked", completion={20: "kill once"})
    place = tmp_path / "killed"
    rescored = rescore(
        "dasked", "by_dask", "telling", json.dumps({"place": str(place)}), TELLING, runner="dask"
    )
    assert place.exists()
    assert (rescored.without_verdict, rescored.num_rows) == (0, NUM_ROWS)
    rows = _rows(warehouse, "by_dask")
    assert [row["problem_id"] for row in rows] == [f"p{number}" for number in range(NUM_ROWS)]
    assert [row["reward"] for row in rows] == [float(n % 3 == 0 and n != 20) for n in range(NUM_ROWS)]
    processes = {row["reason"] for row in rows}
    assert str(os.getpid()) not in processes
    assert len(processes) >= 2


@pytest.mark.servers
def test_a_running_cluster_gives_the_verdicts_that_threads_give(
    home: Home, rescore: Rescore, tmp_path: Path
) -> None:
    from distributed import LocalCluster

    _publish(home, "either")
    here = rescore("either@1", "by_threads")
    with LocalCluster(
        n_workers=1,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address=None,
        local_directory=str(tmp_path),
    ) as cluster:
        there = rescore("either@1", "by_cluster", runner="dask", address=cluster.scheduler_address)
    assert here.published.version.fingerprint == there.published.version.fingerprint


@pytest.mark.servers
def test_a_cluster_that_does_not_answer_is_an_error(
    home: Home, rescore: Rescore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_runners, "_CONNECT_SECONDS", 0.2)
    _publish(home, "nobody")
    with pytest.raises(ServerError, match=r"tcp://127\.0\.0\.1:1 "):
        rescore("nobody", "nobody", runner="dask", address="tcp://127.0.0.1:1")


def test_the_command_prints_what_changed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    _publish(home, "told")
    rescore_command("told", to="told_again", add=("telling=tests.pipeline.telling_verifiers:TELLING",))
    words = capsys.readouterr().out.split()
    assert {"10", "(16.7%)", "20", "(33.3%)", "30", "(50.0%)", "told_again@1:"} <= set(words)
    rescore_command("told", to="told_again", json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["version"], document["is_new"], document["fell"]) == ("told_again@1", False, 20)


@pytest.mark.parametrize(("runner", "address"), [("threads", "tcp://127.0.0.1:1"), ("ray", None)])
def test_a_runner_that_cannot_run_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, runner: RunnerName, address: str | None
) -> None:
    monkeypatch.setattr(task_runners, "find_spec", lambda name: None)
    with pytest.raises(RecipeError) as caught:
        require_runner(runner, address)
    error: BurnishError = caught.value
    assert error.found and error.expected and error.do
