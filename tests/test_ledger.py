"""The ledger: what it is told it knows, newest first, from any thread."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_contracts.errors import HomeError
from flows.graph import make_nodes
from flows.nodes import Node
from flows.remembered import remembered_digest
from infra import records as states
from infra.ledger import Ledger
from infra.records import Decision
from tests.factories import SOURCES, make_execution, make_recipe


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(path)


@pytest.fixture(scope="module")
def nodes() -> dict[str, Node]:
    return {node.name: node for node in make_nodes(make_recipe(), SOURCES)}


def test_an_execution_reads_back_as_it_was_recorded(ledger: Ledger, nodes: dict[str, Node]) -> None:
    execution = make_execution(nodes["sft"], result={"metrics": {"sft/loss": 0.1}, "notes": ["ü"]})
    ledger.record(execution)
    assert ledger.find_by_key(execution.key) == [execution]
    assert ledger.find_by_input_key(execution.input_key) == [execution]
    assert ledger.find_by_stage("small", "sft") == [execution]
    assert ledger.find_by_output("small.sft", 1) == [execution]


def test_what_was_not_recorded_is_not_found(ledger: Ledger, nodes: dict[str, Node]) -> None:
    ledger.record(make_execution(nodes["sft"]))
    assert ledger.find_by_key(nodes["dpo"].key) == []
    assert ledger.find_by_stage("other", "sft") == []
    assert ledger.find_by_output("small.sft", 2) == []


def test_executions_come_newest_first(ledger: Ledger, nodes: dict[str, Node]) -> None:
    for version in (1, 2, 3):
        ledger.record(make_execution(nodes["sft"], version=version))
    assert [execution.version for execution in ledger.find_by_key(nodes["sft"].key)] == [3, 2, 1]


def test_opening_a_ledger_again_keeps_what_it_has(path: Path, nodes: dict[str, Node]) -> None:
    Ledger(path).record(make_execution(nodes["sft"]))
    assert len(Ledger(path).find_by_stage("small", "sft")) == 1


def test_a_stage_told_twice_is_one_stage_in_its_newest_state(ledger: Ledger) -> None:
    run = ledger.begin_run("small", {"name": "small"}, pid=1, pid_started=2.0)
    for stage in ("sft", "dpo"):
        ledger.set_stage(run, stage, stage, f"key of {stage}", states.WAITING)
    ledger.set_stage(run, "sft", "sft", "key of sft", states.RUNNING)
    began = ledger.run_stages(run)[0].started
    for _ in range(2):
        ledger.set_stage(run, "sft", "sft", "key of sft", states.DONE, "small.sft/1")
    sft, dpo = ledger.run_stages(run)
    assert (sft.stage, sft.state, sft.detail) == ("sft", states.DONE, "small.sft/1")
    assert sft.started == began
    assert sft.started is not None
    assert sft.ended is not None
    assert sft.ended >= sft.started
    assert (dpo.state, dpo.started, dpo.ended) == (states.WAITING, None, None)


def test_a_run_tells_its_whole_story(ledger: Ledger) -> None:
    run_id = ledger.begin_run("small", {"name": "small"}, pid=4, pid_started=2.5)
    ledger.note_run_ids(run_id, "flow", "mlflow")
    (run,) = ledger.runs()
    assert (run.state, run.ended, run.summary) == (states.RUNNING, None, None)
    assert (run.pid, run.pid_started, run.flow_run_id, run.mlflow_run_id) == (4, 2.5, "flow", "mlflow")
    ledger.end_run(run_id, states.FAILED, {"lines": []})
    (run,) = ledger.runs()
    assert (run.run_id, run.state, run.summary) == (run_id, states.FAILED, {"lines": []})
    assert run.document == {"name": "small"}


def test_runs_come_newest_first_and_by_recipe(ledger: Ledger) -> None:
    ids = [ledger.begin_run(recipe, {}, 1, 1.0) for recipe in ("a", "b", "a")]
    assert [run.run_id for run in ledger.runs()] == ids[::-1]
    assert [run.run_id for run in ledger.runs("a")] == [ids[2], ids[0]]
    assert [run.run_id for run in ledger.runs(limit=1)] == [ids[2]]


def test_decisions_are_kept_in_full(ledger: Ledger) -> None:
    first = Decision(1.0, "promote", "small.dpo", None, 1, "ann", "better", {"p": 0.001})
    second = Decision(2.0, "promote", "small.dpo", 1, 2, "bob", "better still", {})
    for decision in (first, second):
        ledger.decide(decision)
    assert ledger.decisions("small.dpo") == [second, first]
    assert ledger.decisions("small.sft") == []


def test_a_digest_is_known_until_size_time_or_inode_change(ledger: Ledger, path: Path) -> None:
    ledger.note_file_fact(path, "sha256", size=3, mtime_ns=5, inode=7, fact="abc")
    assert ledger.file_fact(path, "sha256", 3, 5, 7) == "abc"
    assert [ledger.file_fact(path, "sha256", *other) for other in [(4, 5, 7), (3, 6, 7), (3, 5, 8)]] == [
        None
    ] * 3
    ledger.note_file_fact(path, "sha256", size=4, mtime_ns=5, inode=7, fact="def")
    assert (ledger.file_fact(path, "sha256", 4, 5, 7), ledger.file_fact(path, "sha256", 3, 5, 7)) == (
        "def",
        None,
    )


def test_a_file_is_hashed_again_when_it_changed(ledger: Ledger, tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("1")
    before = remembered_digest(ledger, source)
    source.write_text("2")
    after = remembered_digest(ledger, source)
    assert (before, after) == (
        "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",  # sha256 of "1"
        "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35",  # sha256 of "2"
    )


def test_threads_write_and_read_at_once_and_nothing_is_lost(
    ledger: Ledger, path: Path, nodes: dict[str, Node]
) -> None:
    other = Ledger(path)

    def work(number: int) -> int:
        one = ledger if number % 2 else other
        one.record(make_execution(nodes["sft"], version=number))
        return len(one.find_by_key(nodes["sft"].key))

    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(work, range(40)))
    assert all(count >= 1 for count in seen)
    assert sorted(e.version for e in ledger.find_by_key(nodes["sft"].key)) == list(range(40))


def test_a_reader_is_not_stopped_by_a_writer(ledger: Ledger, path: Path, nodes: dict[str, Node]) -> None:
    """Write-ahead logging: another client may read while a transaction is open."""
    ledger.record(make_execution(nodes["sft"]))
    writer = sqlite3.connect(path, isolation_level=None)
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0)
    writer.execute("begin immediate")
    writer.execute("delete from executions")
    assert reader.execute("select count(*) from executions").fetchone() == (1,)
    writer.execute("rollback")
    reader.close()
    writer.close()


def test_a_failed_write_leaves_nothing_behind(ledger: Ledger, nodes: dict[str, Node]) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        ledger.record(make_execution(nodes["sft"], run_id=None))
    assert ledger.find_by_stage("small", "sft") == []
    ledger.record(make_execution(nodes["sft"]))
    assert len(ledger.find_by_stage("small", "sft")) == 1


def test_a_damaged_ledger_is_named_and_left_alone(path: Path) -> None:
    path.write_text("no database" * 100)
    with pytest.raises(HomeError, match=r"The ledger .*ledger\.db cannot be used: file is not a database"):
        Ledger(path)
    assert path.read_text() == "no database" * 100


def test_a_run_that_is_over_has_no_stage_that_is_not(ledger: Ledger) -> None:
    run_id = ledger.begin_run("small", {}, 1, 2.0)
    for stage, state in [("base", states.DONE), ("sft", states.RUNNING), ("dpo", states.WAITING)]:
        ledger.set_stage(run_id, stage, stage, f"key of {stage}", state)
    ledger.end_run(run_id, states.INTERRUPTED, None)
    stages = ledger.run_stages(run_id)
    assert [stage.state for stage in stages] == [states.DONE, states.INTERRUPTED, states.SKIPPED]
    assert all(stage.ended is not None for stage in stages)
