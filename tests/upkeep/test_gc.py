"""What nothing needs goes, whatever is needed stays, and a kill at any point leaves a sound home."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from data_contracts.errors import HomeError
from flows.cli.app import execute
from flows.doctor.checkup import examine
from flows.doctor.garbage import Collection, Waste
from flows.promoting.candidates import Wanted, find_candidate
from flows.promoting.describing import describe
from flows.stored import has_output
from infra.home import Home
from infra.ledger import Ledger
from infra.process_identity import this_process
from infra.records import DONE, INTERRUPTED, RUNNING
from infra.registry import ModelRegistry
from infra.warehouse.warehouse import Warehouse
from tests.upkeep.finished_home import write_model

PROJECT = Path(__file__).resolve().parents[2]


def waste(home: Home, keep_last: int = 1) -> list[Waste]:
    return Collection(home, Ledger(home.ledger_path), keep_last).find()


def models(home: Home) -> set[str]:
    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    return {f"{each.name}/{each.version}" for each in registry.list_models()}


def on_disk(home: Home) -> set[str]:
    """Versions whose directory is there."""
    made = [each for each in Ledger(home.ledger_path).executions() if each.output == "model"]
    return {f"{each.name}/{each.version}" for each in made if has_output(home, each)}


def faults(home: Home) -> list[str]:
    return [f.found for report in examine(home.path, is_deep=True) for f in report.findings if not f.is_note]


ALL = {"small.base/1", "small.sft/1", "small.sft/2", "small.sft/3"}


def test_the_one_model_that_no_alias_promotion_or_newest_run_names_goes_and_its_row_stays(home: Home) -> None:
    found = [each for each in waste(home) if each.kind == "model"]
    assert [each.what for each in found] == ["small.sft/2"]
    folder = home.models_dir / Ledger(home.ledger_path).find_by_output("small.sft", 2)[0].fingerprint
    ours = sum(file.stat().st_size for file in folder.iterdir())
    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    card = (registry.model_directory("small.sft/2") / "README.md").stat().st_size
    assert found[0].num_bytes == 2 * ours + card  # MLflow has as much, and the card
    assert models(home) == on_disk(home) == ALL  # looking removes nothing
    assert [each.remove() for each in found] == [""]
    assert models(home) == on_disk(home) == ALL - {"small.sft/2"}
    assert len(Ledger(home.ledger_path).find_by_output("small.sft", 2)) == 1
    assert faults(home) == []
    assert [each for each in waste(home) if each.kind == "model"] == []


def test_more_runs_may_be_kept(home: Home) -> None:
    assert [each.kind for each in waste(home, keep_last=2) if each.kind in ("model", "log")] == []


def test_an_alias_of_any_name_keeps_a_version(home: Home) -> None:
    ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir).set_alias("small.sft", "mine", 2)
    assert [each.what for each in waste(home) if each.kind == "model"] == []


def test_an_alias_that_was_set_after_looking_keeps_it_too(home: Home) -> None:
    found = next(each for each in waste(home) if each.kind == "model")
    ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir).set_alias("small.sft", "mine", 2)
    assert found.remove() == "left: it is mine"
    assert models(home) == on_disk(home) == ALL


def test_a_run_that_failed_since_takes_nothing_from_the_last_that_ended_well(home: Home) -> None:
    ledger = Ledger(home.ledger_path)
    run = ledger.begin_run("small", {"name": "small", "stages": {}}, 1, 0.0)
    ledger.end_run(run, INTERRUPTED, None)
    assert [each.what for each in waste(home) if each.kind == "model"] == ["small.sft/2"]


def _run(ledger: Ledger, models: dict[str, str]) -> None:
    """A finished run of a recipe with two stages, of which it came to these."""
    stages = {"sft": {"kind": "sft", "start": "base"}, "dpo": {"kind": "dpo", "start": "sft"}}
    run = ledger.begin_run("small", {"name": "small", "stages": stages}, 1, 0.0)
    for stage, model in models.items():
        name, _, version = model.partition("/")
        made = ledger.find_by_output(name, int(version))[0]
        ledger.set_stage(run, stage, made.kind, made.key, DONE)
    lines = [{"stage": stage, "model": model} for stage, model in models.items()]
    ledger.end_run(run, DONE, {"lines": lines})


def test_what_a_promotion_of_the_pipeline_or_a_stage_would_take_stays_whatever_ran_in_part_since(
    home: Home,
) -> None:
    ledger = Ledger(home.ledger_path)
    third = ledger.find_by_output("small.sft", 3)[0]
    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    for version in (1, 2):
        parent = registry.start_pipeline_run("small", third.run_id, "")
        child = registry.start_stage_run(parent, "small", "dpo", f"key-dpo-{version}", {})
        content = write_model(home.models_dir / "scratch", 10.0 + version)
        folder = (home.models_dir / "scratch").rename(home.models_dir / content)
        assert registry.register_model(child, "small.dpo", folder, f"key-dpo-{version}", {}) == version
        made = replace(third, name="small.dpo", stage="dpo", kind="dpo", key=f"key-dpo-{version}")
        ledger.record(replace(made, version=version, fingerprint=content))
    _run(ledger, {"sft": "small.sft/2", "dpo": "small.dpo/1"})
    _run(ledger, {"sft": "small.sft/3"})
    assert find_candidate(ledger, Wanted("small")).version == 1
    assert [each.what for each in waste(home) if each.kind == "model"] == ["small.dpo/2"]
    _run(ledger, {"dpo": "small.dpo/2"})
    _run(ledger, {"sft": "small.sft/3"})
    assert find_candidate(ledger, Wanted("small", stage="dpo")).version == 2
    assert [each.what for each in waste(home) if each.kind == "model"] == []
    _run(ledger, {"sft": "small.sft/3", "dpo": "small.dpo/1"})
    assert [each.what for each in waste(home) if each.kind == "model"] == ["small.sft/2", "small.dpo/2"]
    for each in waste(home):
        each.remove()
    assert find_candidate(ledger, Wanted("small.dpo")).version == 1, "the newest that is there"


def test_weights_that_two_versions_share_stay_for_the_one_that_is_needed(home: Home) -> None:
    ledger = Ledger(home.ledger_path)
    third = ledger.find_by_output("small.sft", 3)[0]
    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    parent = registry.start_pipeline_run("small", third.run_id, "")
    child = registry.start_stage_run(parent, "small", "twin", "key-twin", {})
    registry.register_model(child, "small.twin", home.models_dir / third.fingerprint, "key-twin", {})
    for each in (child, parent):
        registry.finish_run(each, "FINISHED")
    ledger.record(
        replace(third, name="small.twin", stage="twin", key="key-twin", version=1, ended=time.time())
    )
    for each in waste(home):
        if each.kind == "model":
            assert each.remove() == ""
    assert models(home) == ALL - {"small.sft/2"}
    assert "small.sft/3" in on_disk(home)
    assert faults(home) == []


def test_a_model_that_a_later_run_made_again_is_needed_again(home: Home) -> None:
    ledger = Ledger(home.ledger_path)
    next(each for each in waste(home) if each.kind == "model").remove()
    second = ledger.find_by_output("small.sft", 2)[0]
    folder = home.models_dir / second.fingerprint
    assert write_model(folder, 2.0) == second.fingerprint
    run = ledger.begin_run("small", {"name": "small", "stages": {}}, 1, 0.0)
    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    parent = registry.start_pipeline_run("small", run, "")
    child = registry.start_stage_run(parent, "small", "sft", second.key, {})
    version = registry.register_model(child, "small.sft", folder, second.key, {})
    for each in (child, parent):
        registry.finish_run(each, "FINISHED")
    again = replace(second, run_id=run, version=version, ended=time.time())
    ledger.record(again)
    assert describe(home, ledger, [again]) == []
    ledger.set_stage(run, "sft", "sft", second.key, DONE)
    ledger.end_run(run, DONE, {"lines": []})
    assert faults(home) == []
    assert [each.what for each in waste(home) if each.kind == "model"] == []


def test_scratch_that_the_newest_run_continues_from_stays_and_older_scratch_goes(home: Home) -> None:
    ledger = Ledger(home.ledger_path)
    for key in ("key-old", "key-new"):
        run = ledger.begin_run("small", {"name": "small", "stages": {}}, 1, 0.0)
        ledger.set_stage(run, "dpo", "dpo", key, INTERRUPTED)
        ledger.end_run(run, INTERRUPTED if key == "key-new" else DONE, None)
        (home.work_dir / key / "checkpoints" / "checkpoint-5").mkdir(parents=True)
        (home.work_dir / key / "checkpoints" / "checkpoint-5" / "optimizer.pt").write_bytes(b"123")
    run = ledger.begin_run("small", {"name": "small", "stages": {}}, 1, 0.0)
    ledger.set_stage(run, "dpo", "dpo", "key-new", INTERRUPTED)
    ledger.end_run(run, DONE, None)
    found = [each for each in waste(home) if each.kind == "checkpoints"]
    assert [(Path(each.what).name, each.num_bytes) for each in found] == [("key-old", 3)]
    assert [each.remove() for each in found] == [""]
    assert [path.name for path in home.work_dir.iterdir()] == ["key-new"]


def test_caches_and_logs_of_old_runs_go(home: Home) -> None:
    home.reference_cache_dir.mkdir()
    (home.reference_cache_dir / "a.parquet").write_text("numbers")
    (home.cards_dir / "b.json").write_text("{}")
    (home.logs_dir / "run-server-4194309.log").write_text("of a server whose run is gone")
    (home.logs_dir / "run-server-1.log").write_text("of a process that is there")
    ledger = Ledger(home.ledger_path)
    newest = {run.run_id for run in ledger.runs()[:1]} | {ledger.find_by_key("key-base")[0].run_id}
    for each in waste(home):
        assert each.remove() == ""
    assert {path.name for path in home.logs_dir.iterdir()} == newest | {"run-server-1.log"}
    assert list(home.reference_cache_dir.iterdir()) == list(home.cards_dir.iterdir()) == []


def test_rows_that_no_run_noted_go_and_those_of_people_stay(home: Home) -> None:
    warehouse = Warehouse(home)
    worked = warehouse.get("small.worked@1")
    rows = warehouse.reader.read(worked)
    for name in ("mine", "small.sft.rollouts", "small.tagged"):
        warehouse.publish(name, worked.kind, rows, "")
    warehouse.tag("small.tagged@1", "golden")
    found = [each for each in waste(home) if each.kind == "rows"]
    assert [each.what for each in found] == ["small.sft.rollouts@1"]
    assert found[0].remove() == ""
    assert [str(version) for version in warehouse.versions()] == [
        "mine@1",
        "small.tagged@1",
        "small.worked@1",
    ]


def test_while_a_run_is_at_work_nothing_goes(home: Home) -> None:
    ledger = Ledger(home.ledger_path)
    before = waste(home)
    run = ledger.begin_run("small", {"name": "small", "stages": {}}, *this_process())
    ledger.set_stage(run, "dpo", "dpo", "key-dpo", RUNNING)
    with (
        pytest.raises(HomeError, match=f"Run {run} of small is at work"),
        Collection(home, ledger, 1).hold_off_runs(),
    ):
        pass
    assert [each.remove() for each in before if each.kind == "log"] == ["left: a run is at work"]
    assert models(home) == on_disk(home) == ALL


def test_while_things_go_no_run_of_a_known_recipe_begins(home: Home) -> None:
    ledger = Ledger(home.ledger_path)
    with (
        Collection(home, ledger, 1).hold_off_runs(),
        pytest.raises(HomeError, match="burnish gc"),
        home.lock("recipe-small", holder="a run", timeout_seconds=0.0),
    ):
        pass
    with (
        home.lock("recipe-small", holder="a run"),
        pytest.raises(HomeError, match="a run"),
        Collection(home, ledger, 1).hold_off_runs(),
    ):
        pass


_GC = """
import os, sys
from dataclasses import replace
from pathlib import Path
place, name = sys.argv[2].split(":")
from flows.doctor.garbage import Collection
from infra.home import Home
from infra.ledger import Ledger
import flows.doctor.garbage, infra.liveness, infra.registry_upkeep
owner = sys.modules[place.split("/")[0]]
for part in place.split("/")[1:]:
    owner = getattr(owner, part)
real = getattr(owner, name)
def killed(*given, **named):
    if sys.argv[3] == "after":
        real(*given, **named)
    os._exit(9)
setattr(owner, name, killed)
home = Home(Path(sys.argv[1]))
for waste in Collection(home, Ledger(home.ledger_path), 1).find():
    waste.remove()
"""


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("point", "when"),
    [
        ("infra.ledger/Ledger:decide", "after"),
        ("infra.liveness:remove", "before"),
        ("infra.liveness:remove", "after"),
        ("infra.registry_upkeep/RegistryUpkeep:forget", "before"),
        ("infra.registry_upkeep/MlflowClient:delete_model_version", "before"),
        ("infra.registry_upkeep/MlflowClient:delete_model_version", "after"),
    ],
)
def test_a_kill_leaves_a_home_that_is_sound_once_leftovers_are_swept_and_the_next_gc_ends_it(
    point: str, when: str, home: Home
) -> None:
    killed = subprocess.run([sys.executable, "-c", _GC, str(home.path), point, when], cwd=PROJECT)
    assert killed.returncode == 9
    harmless = ("was being written by a process that is gone.", "which was let go.")
    assert [text for text in faults(home) if not text.endswith(harmless)] == []
    for each in waste(home):
        assert each.remove() == ""
    list(examine(home.path, fix=True))
    assert faults(home) == []
    assert models(home) == on_disk(home) == ALL - {"small.sft/2"}


def test_the_command_shows_first_and_removes_when_told_to(
    home: Home, environment: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["gc", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["applied"] is False
    assert {each["kind"] for each in shown["items"]} == {"model", "log"}
    assert models(home) == ALL
    assert execute(["gc", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**shown, "applied": True}
    assert models(home) == ALL - {"small.sft/2"}
    assert execute(["gc"]) == 0
    assert capsys.readouterr().out == "Everything here is needed.\n"
