"""Each damage of a home is named, and repaired by `--fix`; nothing is changed without it, nor under a live run."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient

from data_contracts.errors import HomeError, NotFoundError
from flows.cli.app import execute
from flows.doctor.checkup import Report, examine
from flows.doctor.findings import Finding
from flows.doctor.garbage import Collection
from flows.past_runs import CRASHED
from infra.home import Home
from infra.ledger import Ledger
from infra.process_identity import this_process
from infra.records import DONE, FAILED, INTERRUPTED, RUNNING, SKIPPED, WAITING, Decision
from infra.registry import ModelRegistry
from infra.warehouse.warehouse import Warehouse
from stages.checkpoint import fingerprint_model
from tests.upkeep.finished_home import write_model

PROJECT = Path(__file__).resolve().parents[2]
GONE = 2**22 + 5
"""A process number above all that Linux gives."""


def found(home: Home, *, fix: bool = False, is_deep: bool = False) -> list[str]:
    """What is wrong, section by section."""
    return [each.found for report in reports(home, fix=fix, is_deep=is_deep) for each in _faults(report)]


def reports(home: Home, *, fix: bool = False, is_deep: bool = False) -> list[Report]:
    return list(examine(home.path, fix=fix, is_deep=is_deep))


def _faults(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if not finding.is_note]


def tree(home: Home) -> dict[str, bytes]:
    """Every file and what is in it; SQLite's own scratch beside an open ledger comes and goes."""
    files = (path for path in home.path.rglob("*") if not path.name.endswith(("-wal", "-shm")))
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in files}


def _registry(home: Home) -> ModelRegistry:
    return ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)


def _model_dir(home: Home, stage: str = "sft", number: int = 3) -> Path:
    made = Ledger(home.ledger_path).find_by_output(f"small.{stage}", number)
    return home.models_dir / made[0].fingerprint


# Damage: what is done to a home, and what the doctor says of it


def _a_run_is_killed(home: Home) -> None:
    ledger = Ledger(home.ledger_path)
    run = ledger.begin_run("small", {"name": "small", "stages": {}}, GONE, 1.0)
    ledger.set_stage(run, "sft", "sft", "key-new", RUNNING)


def _a_stage_is_left_open(home: Home) -> None:
    ledger = Ledger(home.ledger_path)
    run = ledger.runs()[0].run_id
    ledger.set_stage(run, "dpo", "dpo", "key-dpo", WAITING)


def _scratch_of_a_finished_stage(home: Home) -> None:
    (home.work_dir / "key-sft-3" / "checkpoints").mkdir(parents=True)


def _scratch_of_nobody(home: Home) -> None:
    (home.work_dir / "unknown").mkdir()


def _half_a_file(home: Home) -> None:
    (home.rows_dir / f".{GONE}.123.tmp").write_text("half")


def _half_a_record_of_rows(home: Home) -> None:
    (home.lineage_dir / f".input.parquet.{GONE}.123").write_text("half")


def _half_a_cache(home: Home) -> None:
    home.reference_cache_dir.mkdir()
    (home.reference_cache_dir / "0123.writing").write_text("half")


def _a_probe(home: Home) -> None:
    (home.path / f".probe-{GONE}-123").write_text("writable")


def _half_an_mlflow(home: Home) -> None:
    (home.mlflow_path.parent / ".unfinished-abc").mkdir()


def _a_stale_sign(home: Home) -> None:
    (home.path / "locks" / "recipe-small.holder").write_text("a run of small (process 5)")


def _a_record_of_dead_servers(home: Home) -> None:
    server = {"port": 1, "pid": GONE, "birth": 1.0, "health_path": "/", "log_path": "/nowhere"}
    both = {name: {**server, "name": name} for name in ("prefect", "mlflow")}
    (home.path / "servers.json").write_text(json.dumps(both))


def _a_broken_record_of_servers(home: Home) -> None:
    (home.path / "servers.json").write_text("{")


def _no_marker(home: Home) -> None:
    (home.path / "home.json").unlink()


def _no_directory(home: Home) -> None:
    home.work_dir.rmdir()


def _a_model_is_removed(home: Home) -> None:
    shutil.rmtree(_model_dir(home))


def _weights_are_cut(home: Home) -> None:
    weights = _model_dir(home) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])


def _an_orphan_model(home: Home) -> None:
    write_model(home.models_dir / "0123", 9.0)


def _an_orphan_record_of_rows(home: Home) -> None:
    (home.lineage_dir / "nobody.parquet").write_text("rows")


def _orphan_rows(home: Home) -> None:
    warehouse = Warehouse(home)
    rows = warehouse.reader.read(warehouse.get("small.worked@1"))
    warehouse.publish("small.sft.rollouts", warehouse.get("small.worked@1").kind, rows, "key")


def _mlflow_loses_a_version(home: Home) -> None:
    MlflowClient(home.mlflow_uri).delete_model_version("small.sft", "3")


def _mlflow_loses_files(home: Home) -> None:
    client = MlflowClient(home.mlflow_uri)
    source = str(client.get_model_version("small.sft", "2").source).removeprefix("models:/")
    (Path(client.get_logged_model(source).artifact_location) / "config.json").unlink()


def _mlflow_is_removed(home: Home) -> None:
    shutil.rmtree(home.mlflow_path.parent)


def _mlflow_knows_more(home: Home) -> None:
    registry = _registry(home)
    folder = home.path / "elsewhere"
    write_model(folder, 7.0)
    parent = registry.start_pipeline_run("small", "run-of-before", "")
    child = registry.start_stage_run(parent, "small", "sft", "key-lost", {})
    registry.register_model(child, "small.sft", folder, "key-lost", {})
    for each in (parent, child):
        registry.finish_run(each, "KILLED")
    shutil.rmtree(folder)


def _an_mlflow_run_stays_open(home: Home) -> None:
    registry = _registry(home)
    parent = registry.start_pipeline_run("small", Ledger(home.ledger_path).runs()[0].run_id, "")
    registry.start_stage_run(parent, "small", "dpo", "key-dpo", {})


def _a_promotion_is_cut_short(home: Home) -> None:
    Ledger(home.ledger_path).decide(Decision(1.0, "promote", "small.sft", 3, 2, "me", "", {}))


def _an_alias_is_taken(home: Home) -> None:
    MlflowClient(home.mlflow_uri).delete_registered_model_alias("small.sft", "previous")


DAMAGES: list[tuple[Callable[[Home], None], str]] = [
    (_a_run_is_killed, "is called running, and its process"),
    (_a_stage_is_left_open, "has ended (done), and dpo did not"),
    (_scratch_of_a_finished_stage, "is the scratch of a stage whose result is stored"),
    (_scratch_of_nobody, "belongs to no stage that a run of this home planned"),
    (_half_a_file, "was being written by a process that is gone"),
    (_half_a_record_of_rows, "was being written by a process that is gone"),
    (_half_a_cache, "was being written by a stage that is gone"),
    (_a_probe, "was being written by a process that is gone"),
    (_half_an_mlflow, "holds an MLflow database that was never finished"),
    (_a_stale_sign, "recipe-small.holder names a holder of a lock that is free"),
    (_a_record_of_dead_servers, "servers.json names servers of which none runs"),
    (_a_broken_record_of_servers, "servers.json cannot be read"),
    (_no_marker, "home.json is missing"),
    (_no_directory, "work is missing"),
    (_a_model_is_removed, "The model of small.sft/3 is gone"),
    (_weights_are_cut, "The model of small.sft/3 has weights that cannot be read: model.safetensors"),
    (_an_orphan_model, "is a model that no row of the ledger names"),
    (_an_orphan_record_of_rows, "is a record of training rows that no row of the ledger names"),
    (_orphan_rows, "small.sft.rollouts@1 has rows of a pipeline that no row of the ledger names"),
    (_mlflow_loses_a_version, "MLflow has lost small.sft/3"),
    (_mlflow_loses_files, "MLflow has not all files of small.sft/2"),
    (_mlflow_is_removed, "mlflow.db is missing"),
    (_mlflow_knows_more, "MLflow has small.sft/4, which the ledger does not name"),
    (_an_mlflow_run_stays_open, "running; it is of"),
    (_a_promotion_is_cut_short, "MLflow's aliases of small.sft are behind the ledger"),
    (_an_alias_is_taken, "small.sft@previous was deleted by hand in MLflow; by the ledger it is version 1"),
]


def test_a_home_as_runs_leave_it_is_sound_and_looking_changes_nothing(home: Home) -> None:
    before = tree(home)
    assert found(home, is_deep=True) == []
    assert tree(home) == before


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        pytest.param(damage, told, id=damage.__name__, marks=pytest.mark.chaos if number % 4 else ())
        for number, (damage, told) in enumerate(DAMAGES)
    ],
)
def test_damage_is_named_left_alone_without_fix_and_repaired_with_it(
    damage: Callable[[Home], None], told: str, home: Home
) -> None:
    damage(home)
    before = tree(home)
    assert any(told in text for text in found(home)), found(home)
    assert tree(home) == before
    left = [(each.found, report.left) for report in reports(home, fix=True) for each in _faults(report)]
    assert left == []
    after = tree(home)
    again = reports(home, fix=True, is_deep=True)
    assert [
        (report.repaired, _faults(report)) for report in again if report.repaired or _faults(report)
    ] == []
    assert tree(home) == after


@pytest.mark.parametrize(("emptied", "lost"), [(True, 4), (False, 1)], ids=["emptied", "an older backup"])
def test_what_a_lost_ledger_named_is_no_waste(home: Home, emptied: bool, lost: int) -> None:
    """The home has three runs; a fourth is noted, and then it or all of them are forgotten."""
    ledger = Ledger(home.ledger_path)
    run_id = ledger.begin_run("small", {}, pid=1, pid_started=0.0)
    (home.logs_dir / run_id).mkdir()
    with contextlib.closing(sqlite3.connect(home.ledger_path)) as db:
        for table in ("runs", "executions") if emptied else ("runs",):
            db.execute(f"delete from {table} where ? or run_id = ?", [emptied, run_id])
        db.commit()
    before = tree(home)
    (last,) = [each.found for each in _faults(reports(home, fix=True)[-1])]
    assert f"does not know {lost} runs that have logs here" in last
    with (
        pytest.raises(HomeError, match=f"does not know {lost} runs"),
        Collection(home, ledger, 1).hold_off_runs(),
    ):
        pass
    assert tree(home) == before


def test_rows_that_the_ledger_names_and_the_warehouse_has_not_are_missed(home: Home) -> None:
    """Of a dataset, and what a model sampled while it was trained."""
    ledger = Ledger(home.ledger_path)
    made = next(each for each in ledger.executions() if each.stage == "sft")
    ledger.record(replace(made, result=made.result | {"rollouts": "small.sft.rollouts@1"}))
    assert [text for text in found(home) if "the warehouse does not know it" in text] == [
        "The ledger names small.sft.rollouts@1, and the warehouse does not know it."
    ]


def test_other_content_than_recorded_is_found_by_reading_all_of_it(home: Home) -> None:
    weights = _model_dir(home) / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"\x01")
    assert found(home) == []
    assert "has other content than its run recorded" in found(home, is_deep=True)[0]
    assert found(home, is_deep=True, fix=True) == []
    assert weights.read_bytes() == content


def test_a_model_that_is_lost_everywhere_is_left_with_the_command_that_makes_it(home: Home) -> None:
    shutil.rmtree(_model_dir(home))
    _registry(home)  # MLflow keeps the version, not its files
    for folder in (home.mlflow_artifacts_dir / "small" / "models").iterdir():
        shutil.rmtree(folder)
    left = [why for report in reports(home, fix=True) for why in report.left.values()]
    assert "`burnish run small --force sft` makes it again" in left[0]
    assert not _model_dir(home).exists()


def test_rows_that_were_changed_are_named_with_the_versions_they_touch(home: Home) -> None:
    path = next(home.rows_dir.glob("*.parquet"))
    path.write_bytes(path.read_bytes() + b"x")
    report = next(report for report in reports(home, fix=True) if report.section == "datasets")
    assert "was changed" in report.findings[0].found
    assert "small.worked@1" in report.findings[0].matters


def test_a_version_keeps_its_number_when_all_of_mlflow_is_made_again(home: Home) -> None:
    _mlflow_is_removed(home)
    assert found(home, fix=True) == []
    models = {(each.name, each.version): each for each in _registry(home).list_models()}
    assert set(models) == {("small.base", 1), ("small.sft", 1), ("small.sft", 2), ("small.sft", 3)}
    assert models["small.sft", 3].aliases == ("champion",)
    assert models["small.sft", 1].aliases == ("previous",)
    assert (
        fingerprint_model(_registry(home).model_directory("small.sft/2")) == _model_dir(home, number=2).name
    )


def test_a_number_that_mlflow_gives_no_more_is_replaced_by_the_next_and_the_champion_follows(
    home: Home,
) -> None:
    _mlflow_loses_a_version(home)
    assert found(home, fix=True) == []
    assert _registry(home).aliases("small.sft") == {"champion": 4, "previous": 1}
    made = Ledger(home.ledger_path).find_by_output("small.sft", 4)[0]
    assert made.fingerprint == _model_dir(home).name


def test_a_killed_run_has_crashed_and_its_waiting_stages_are_skipped(home: Home) -> None:
    ledger = Ledger(home.ledger_path)
    run = ledger.begin_run("small", {"name": "small", "stages": {}}, GONE, 1.0)
    for stage, state in {"base": DONE, "sft": RUNNING, "dpo": WAITING, "grpo": FAILED}.items():
        ledger.set_stage(run, stage, stage, f"key-{stage}-new", state)
    assert found(home, fix=True) == []
    assert ledger.runs()[0].state == CRASHED
    states = {each.stage: each.state for each in ledger.run_stages(run)}
    assert states == {"base": DONE, "sft": INTERRUPTED, "dpo": SKIPPED, "grpo": FAILED}


def test_the_checkpoint_of_an_interrupted_stage_is_a_note_and_stays(home: Home) -> None:
    _a_run_is_killed(home)
    checkpoint = home.work_dir / "key-new" / "checkpoints" / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    assert found(home, fix=True) == []
    work = next(report for report in reports(home) if report.section == "work")
    assert "sft of run" in work.findings[0].found and "its last checkpoint" in work.findings[0].matters
    assert checkpoint.is_dir()


def test_what_a_person_registered_or_keeps_in_mlflow_is_left_alone(home: Home) -> None:
    client = MlflowClient(home.mlflow_uri)
    client.create_registered_model("mine")
    client.create_model_version("mine", str(home.models_dir))
    client.create_run(client.create_experiment("mine"), run_name="my own")  # stays open
    before = tree(home)
    assert found(home, fix=True) == []
    assert tree(home) == before


def test_a_champion_that_nobody_decided_is_for_a_person_to_decide(home: Home) -> None:
    _registry(home).set_alias("small.base", "champion", 1)
    assert "changed by hand; by the ledger it is no version" in found(home, fix=True)[0]
    assert _registry(home).aliases("small.base") == {"champion": 1}


# While somebody is at work


_WORK = """
import sys
from pathlib import Path
from flows.doctor.findings import Finding
from infra.home import Home
from infra.ledger import Ledger
from infra.process_identity import this_process
home = Home(Path(sys.argv[1]))
ledger = Ledger(home.ledger_path)
run = ledger.begin_run("small", {"name": "small", "stages": {}}, *this_process())
ledger.set_stage(run, "dpo", "dpo", "key-dpo", "running")
with home.lock("recipe-small", holder="a run"), home.lock("stage-key-dpo", holder="a stage"):
    (home.work_dir / "key-dpo").mkdir()
    print("at work", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def worker(home: Home) -> Iterator["subprocess.Popen[str]"]:
    """A run in a process of its own, in the middle of a stage."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WORK, str(home.path)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "at work\n"
    yield process
    process.kill()
    process.communicate()


def test_a_live_run_is_no_finding(home: Home, worker: "subprocess.Popen[str]") -> None:
    registry = _registry(home)
    registry.start_pipeline_run("small", Ledger(home.ledger_path).runs()[0].run_id, "")
    assert found(home) == []


def test_what_a_live_run_may_be_about_to_name_is_left_and_it_says_so(
    home: Home, worker: "subprocess.Popen[str]"
) -> None:
    for damage in (_an_orphan_model, _orphan_rows, _mlflow_knows_more, _mlflow_loses_a_version):
        damage(home)
    before = {path: content for path, content in tree(home).items() if ".lock" not in path}
    outcome = reports(home, fix=True)
    left = {found: why for report in outcome for found, why in report.left.items()}
    run = Ledger(home.ledger_path).runs()[0].run_id
    assert {why for found, why in left.items() if "@champion" not in found} == {f"left: run {run} is at work"}
    assert len(left) >= 4
    assert {path for path in tree(home).items() if ".lock" not in path[0]} == set(before.items())
    worker.kill()
    worker.communicate()
    assert found(home, fix=True) == []


def test_the_prefect_server_of_a_dead_run_is_ended_and_that_of_a_live_one_is_not(home: Home) -> None:
    stand_in = "import sys; sys.stdin.readline()"
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", stand_in, "infra.run_server", "1", str(home.path)], stdin=subprocess.PIPE
        )
        for _ in range(2)
    ]
    log = home.logs_dir / f"run-server-{os.getpid()}.log"
    try:
        log.touch()
        assert found(home) == []
        log.unlink()
        assert (
            len([text for text in found(home) if "is the Prefect server of a run that is gone" in text]) == 2
        )
        assert found(home, fix=True) == []
        assert not any(psutil.pid_exists(server.pid) for server in servers)
    finally:
        for server in servers:
            server.kill()
            server.communicate()


# Killed in the middle


_FIX = """
import os, sys
from pathlib import Path
place, name = sys.argv[2].rsplit(":", 1)
from flows.doctor.checkup import examine
import infra.ledger, infra.liveness, infra.registry, infra.registry_upkeep
owner = sys.modules[place.split("/")[0]]
for part in place.split("/")[1:]:
    owner = getattr(owner, part)
real = getattr(owner, name)
def killed(*given, **named):
    if sys.argv[3] == "after":
        real(*given, **named)
    os._exit(9)
setattr(owner, name, killed)
list(examine(Path(sys.argv[1]), fix=True))
"""


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("damage", "point", "when"),
    [
        (_an_orphan_model, "infra.liveness:remove", "before"),
        (_a_run_is_killed, "infra.ledger/Ledger:end_run", "after"),
        (_mlflow_loses_a_version, "infra.registry/ModelRegistry:register_model", "after"),
        (_mlflow_loses_a_version, "infra.ledger/Ledger:record", "before"),
        (_mlflow_is_removed, "infra.registry_upkeep/MlflowClient:delete_model_version", "before"),
        (_mlflow_is_removed, "infra.registry/ModelRegistry:start_stage_run", "after"),
        (_mlflow_knows_more, "infra.registry_upkeep/MlflowClient:delete_model_version", "before"),
        (_a_model_is_removed, "infra.registry_upkeep/RegistryUpkeep:fetch", "after"),
    ],
)
def test_repairs_that_were_killed_are_finished_by_the_next(
    damage: Callable[[Home], None], point: str, when: str, home: Home
) -> None:
    if damage is _mlflow_is_removed:  # so that a number has to be taken up
        ledger = sqlite3.connect(home.ledger_path)
        ledger.execute("delete from executions where name = 'small.sft' and version = 2")
        ledger.commit()
        ledger.close()
    damage(home)
    killed = subprocess.run([sys.executable, "-c", _FIX, str(home.path), point, when], cwd=PROJECT)
    assert killed.returncode == 9
    reports(home, fix=True)
    assert found(home, is_deep=True) == []


# The command


def test_the_command_ends_with_0_for_a_sound_home_and_1_for_what_is_left(
    home: Home, environment: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["✓ home", "✓ ledger"]
    _scratch_of_nobody(home)
    assert execute(["doctor"]) == 1
    assert "fix: Remove it." in capsys.readouterr().out
    assert execute(["doctor", "--fix"]) == 0
    assert "repaired: " in capsys.readouterr().out


def test_json_is_one_document_that_says_all_of_it(
    home: Home, environment: None, capsys: pytest.CaptureFixture[str]
) -> None:
    _scratch_of_nobody(home)
    assert execute(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    work = next(each for each in document["sections"] if each["section"] == "work")
    assert (document["sound"], work["sound"], work["findings"][0]["repairable"]) == (False, False, True)


def test_a_damaged_ledger_is_told_and_nothing_else_is_opened(home: Home) -> None:
    for path in home.path.glob("ledger.db-*"):  # what it has not taken in yet would bring all of it back
        path.unlink()
    home.ledger_path.write_text("no database at all, and long enough to be looked at" * 100)
    assert [(report.section, report.is_sound) for report in reports(home)] == [
        ("home", True),
        ("ledger", False),
    ]


def test_a_home_of_another_format_is_not_opened(home: Home) -> None:
    (home.path / "home.json").write_text('{"format": 99}')
    assert [report.section for report in reports(home, fix=True)] == ["home"]
    assert "says 99" in found(home)[0]


def test_where_there_is_no_home_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no home"):
        list(examine(tmp_path / "none", fix=True))
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_alive_keeps_the_file_it_writes(home: Home) -> None:
    pid, _ = this_process()
    (home.rows_dir / f".{pid}.123.tmp").write_text("half")
    assert found(home) == []
    old = home.rows_dir / f".{pid}.124.tmp"
    old.write_text("of an earlier process with this number")
    began = psutil.Process(pid).create_time() - 100
    os.utime(old, (began, began))
    assert [text for text in found(home) if ".124.tmp" in text]
