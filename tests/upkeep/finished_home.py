"""A home as finished runs leave it, made by hand: real weights of four numbers, a real MLflow, real rows.

run 1 (done)   base/1  sft/1          champion, then previous
run 2 (done)   base/1  sft/2
run 3 (done)   base/1  sft/3          champion
"""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from data_contracts.rows import RowKind
from flows.promoting.describing import describe
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.records import DONE, Decision, Execution, Input
from infra.registry import ModelRegistry
from infra.registry_aliases import RegistryAliases
from infra.training_rows import keep_training_rows
from infra.warehouse.warehouse import Warehouse
from stages.checkpoint import fingerprint_model

RUNS = ("run-1", "run-2", "run-3")


def make_home(path: Path) -> Home:
    home = open_home(path)
    ledger = Ledger(home.ledger_path)
    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    rows = pa.table(
        {"messages": [[{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}]]}
    )
    for number in range(1, 4):
        run = ledger.begin_run("small", {"name": "small", "stages": {}}, pid=1, pid_started=0.0)
        made = [_base(home, run), _sft(home, run, number)]
        parent = registry.start_pipeline_run("small", run, "name: small")
        for each in made:
            child = registry.start_stage_run(parent, "small", each.stage, each.key, {})
            folder = home.models_dir / each.fingerprint
            version = registry.register_model(child, each.name, folder, each.key, {"burnish.run": run})
            registry.finish_run(child, "FINISHED")
            ledger.set_stage(run, each.stage, each.kind, each.key, DONE)
            if not ledger.find_by_key(each.key):
                ledger.record(replace(each, version=version))
        published = Warehouse(home).publish("small.worked", RowKind.sft, rows, "key-worked")
        data = _execution(run, "worked", "dataset", "key-worked", published.fingerprint, "rows")
        ledger.set_stage(run, "worked", "dataset", "key-worked", DONE)
        if not ledger.find_by_key("key-worked"):
            ledger.record(data)
        folder = home.logs_dir / run
        folder.mkdir()
        (folder / "sft.log").write_text("done")
        registry.finish_run(parent, "FINISHED")
        ledger.end_run(run, DONE, {"lines": []})
    for before, after in ((None, 1), (1, 3)):
        ledger.decide(Decision(time.time(), "promote", "small.sft", before, after, "me", "", {}))
    registry.set_alias("small.sft", "previous", 1)
    registry.set_alias("small.sft", "champion", 3)
    RegistryAliases(home).note_shown("small.sft", 2)
    describe(home, ledger, [each for each in ledger.executions() if each.output == "model"])
    return home


def write_model(folder: Path, weight: float) -> str:
    """A directory that is a model to everything but a trainer; returns its fingerprint."""
    folder.mkdir()
    save_file({"w": np.full((2, 2), weight, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "qwen3"}')
    return fingerprint_model(folder)


def _base(home: Home, run: str) -> Execution:
    return _execution(run, "base", "base", "key-base", _keep(home, 0.0), "model")


def _sft(home: Home, run: str, number: int) -> Execution:
    made = _execution(run, "sft", "sft", f"key-sft-{number}", _keep(home, float(number)), "model")
    written = home.path / "written.parquet"
    written.write_text("which rows")
    keep_training_rows(home, made.input_key, written)
    written.unlink()
    base = Input("base", "start", "small.base", 1, "", 1.0)
    return replace(made, inputs=(base, replace(base, role="base")))


def _keep(home: Home, weight: float) -> str:
    scratch = home.models_dir / "scratch"
    fingerprint = write_model(scratch, weight)
    if (home.models_dir / fingerprint).exists():
        shutil.rmtree(scratch)
    else:
        scratch.rename(home.models_dir / fingerprint)
    return fingerprint


def _execution(run: str, stage: str, kind: str, key: str, fingerprint: str, output: str) -> Execution:
    return Execution(
        run_id=run,
        pipeline="small",
        stage=stage,
        kind=kind,
        key=key,
        input_key=f"input-{key}",
        identity={"config": {"steps": 2}, "seed": 1},
        inputs=(),
        output=output,
        fingerprint=fingerprint,
        name=f"small.{stage}",
        version=1,
        result={"metrics": {"loss": 0.5}},
        environment={},
        seconds=1.0,
        ended=time.time(),
    )
