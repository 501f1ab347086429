"""The registry against a real MLflow on SQLite: one version per result, however often it is registered."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow.artifacts
import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from data_contracts.errors import HomeError, NotFoundError, StageError
from infra.mlflow_database import create_database
from infra.mlflow_datasets import UsedDataset
from infra.registry import ModelRegistry

MakeModel = Callable[..., Path]
Store = tuple[str, Path]

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["infra.registry"])  # imports MLflow once for all children


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One database for the module, since creating it is slow; two processes race to do it."""
    root = tmp_path_factory.mktemp("mlflow")
    store = f"sqlite:///{root / 'mlflow.db'}", root / "artifacts"
    with PROCESSES.Pool(2) as pool:
        pool.starmap(create_database, [store, store])
    return store


@pytest.fixture(scope="module")
def registry(store: Store) -> ModelRegistry:
    return ModelRegistry(*store)


@pytest.fixture(scope="module")
def run_id(registry: ModelRegistry) -> str:
    parent = registry.start_pipeline_run("tiny", "r1", "name: tiny")
    return registry.start_stage_run(parent, "tiny", "sft", "key-of-sft", {"steps": 2})


@pytest.fixture
def client(store: Store) -> MlflowClient:
    return MlflowClient(store[0])


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    def make(weight: float = 1.0, **extra_files: str) -> Path:
        directory = tmp_path / f"model-{weight}"
        directory.mkdir(exist_ok=True)
        save_file({"w": np.full((2, 2), weight, np.float32)}, directory / "model.safetensors")
        (directory / "config.json").write_text('{"model_type": "qwen3"}')
        for name, text in extra_files.items():
            (directory / name.replace("__", ".")).write_text(text)
        return directory

    return make


def test_versions_stay_in_this_store_whatever_the_environment_names(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        patched.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:1")
        patched.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        ModelRegistry(*store).list_models()
        assert mlflow.get_registry_uri() == store[0]


def register(store: Store, run_id: str, name: str, directory: Path) -> int:
    return ModelRegistry(*store).register_model(run_id, name, directory, f"key of {name}", {})


def register_until_killed(instant: str, store: Store, run_id: str, name: str, directory: Path) -> None:
    """Die instead of making the call `instant`."""
    setattr(MlflowClient, instant, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))  # pyright: ignore
    register(store, run_id, name, directory)


def test_a_registered_model_is_found_by_alias_by_version_and_as_newest(
    registry: ModelRegistry, run_id: str, make_model: MakeModel
) -> None:
    first = registry.register_model(run_id, "tiny.dpo", make_model(1.0), "key-1", {"burnish.run": "r1"})
    second = registry.register_model(run_id, "tiny.dpo", make_model(2.0), "key-2", {})
    registry.set_alias("tiny.dpo", "champion", first)

    def weight(reference: str) -> float:
        return float(load_file(registry.model_directory(reference) / "model.safetensors")["w"][0, 0])

    assert (first, second) == (1, 2)
    assert registry.aliases("tiny.dpo") == {"champion": 1}
    assert weight("tiny.dpo@champion") == weight("models:/tiny.dpo/1") == 1.0
    assert weight("tiny.dpo") == weight("models:/tiny.dpo") == 2.0
    assert mlflow.artifacts.download_artifacts("models:/tiny.dpo@champion") == str(
        registry.model_directory("tiny.dpo/1")
    )
    listed = [version for version in registry.list_models() if version.name == "tiny.dpo"]
    assert [(v.version, v.aliases, v.stage_key) for v in listed] == [
        (1, ("champion",), "key-1"),
        (2, (), "key-2"),
    ]
    assert listed[0].tags["burnish.run"] == "r1"


def test_registering_the_same_stage_again_keeps_one_version_even_with_a_new_model_card(
    registry: ModelRegistry, run_id: str, make_model: MakeModel
) -> None:
    first = registry.register_model(run_id, "tiny.same", make_model(README__md="today"), "key-same", {})
    again = registry.register_model(run_id, "tiny.same", make_model(README__md="tomorrow"), "key-same", {})
    assert first == again == 1


def test_other_weights_under_the_same_stage_key_never_hide_behind_the_old_version(
    registry: ModelRegistry, run_id: str, make_model: MakeModel
) -> None:
    registry.register_model(run_id, "tiny.retrained", make_model(1.0), "key-retrained", {})
    assert registry.register_model(run_id, "tiny.retrained", make_model(2.0), "key-retrained", {}) == 2


def test_two_processes_registering_the_same_model_end_with_one_version(
    registry: ModelRegistry, store: Store, run_id: str, make_model: MakeModel
) -> None:
    with PROCESSES.Pool(2) as pool:
        versions = pool.starmap(register, [(store, run_id, "tiny.race", make_model())] * 2)
    assert versions == [1, 1]
    assert [v.version for v in registry.list_models() if v.name == "tiny.race"] == [1]


@pytest.mark.parametrize("instant", ["finalize_logged_model", "create_model_version"])
def test_a_rerun_after_a_kill_registers_the_model_once(
    instant: str,
    registry: ModelRegistry,
    store: Store,
    run_id: str,
    client: MlflowClient,
    make_model: MakeModel,
) -> None:
    name, directory = f"tiny.{instant}", make_model()
    victim = PROCESSES.Process(target=register_until_killed, args=(instant, store, run_id, name, directory))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL

    assert register(store, run_id, name, directory) == 1
    versions = [version for version in registry.list_models() if version.name == name]
    assert [version.version for version in versions] == [1]
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.search_logged_models([experiment], f"tags.`burnish.stage_key` = 'key of {name}'")
    assert [model.status for model in logged] == ["READY"]


def test_only_weights_and_text_leave_the_directory(
    registry: ModelRegistry, run_id: str, make_model: MakeModel
) -> None:
    directory = make_model(
        training_args__bin="pickle",
        optimizer__pt="pickle",
        modeling__py="code",
        chat_template__jinja="{{ x }}",
    )
    registry.register_model(run_id, "tiny.files", directory, "key-files", {})
    published = {path.name for path in registry.model_directory("tiny.files").iterdir()}
    assert published == {"model.safetensors", "config.json", "chat_template.jinja"}


def test_a_directory_with_nothing_but_pickled_weights_is_refused(
    registry: ModelRegistry, run_id: str, tmp_path: Path
) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StageError, match=r"found config\.json, pytorch_model\.bin"):
        registry.register_model(run_id, "tiny.pickle", tmp_path, "key-pickle", {})
    assert "tiny.pickle" not in {version.name for version in registry.list_models()}


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("tiny.knwon", "no model 'tiny.knwon'.*Did you mean 'tiny.known'"),
        ("tiny.known/7", "no version '7' of tiny.known.*one of 1"),
        ("tiny.known@champoin", "no alias 'champoin' of tiny.known.*Did you mean 'champion'"),
    ],
)
def test_an_unknown_reference_is_answered_with_the_nearest_known_one(
    reference: str, message: str, registry: ModelRegistry, run_id: str, make_model: MakeModel
) -> None:
    version = registry.register_model(run_id, "tiny.known", make_model(), "key-known", {})
    registry.set_alias("tiny.known", "champion", version)
    with pytest.raises(NotFoundError, match=f"(?s){message}"):
        registry.model_directory(reference)


def test_an_alias_for_a_version_that_does_not_exist_is_refused(
    registry: ModelRegistry, run_id: str, make_model: MakeModel
) -> None:
    registry.register_model(run_id, "tiny.one", make_model(), "key-one", {})
    with pytest.raises(NotFoundError, match="no version '2' of tiny"):
        registry.set_alias("tiny.one", "champion", 2)


def test_a_stage_run_holds_what_was_run_and_what_it_measured(
    registry: ModelRegistry, client: MlflowClient
) -> None:
    parent = registry.start_pipeline_run("tiny", "r2", "name: tiny\nseed: 7\n")
    stage = registry.start_stage_run(parent, "tiny", "grpo", "key-grpo", {"beta": 0.0, "lora": {"rank": 4}})
    registry.log_metrics(stage, {"grpo/reward_mean": 0.25, "grpo/kl": 0.0}, step=3)
    registry.log_datasets(stage, [UsedDataset("worked", 2, "f" * 32, "train")])
    registry.log_environment(stage)
    registry.finish_run(stage, "FAILED")

    run = client.get_run(stage)
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.params == {"beta": "0.0", "lora": '{"rank": 4}'}
    assert run.data.metrics == {"grpo/reward_mean": 0.25, "grpo/kl": 0.0}
    assert [point.step for point in client.get_metric_history(stage, "grpo/kl")] == [3]
    assert run.inputs
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("worked@2", "f" * 32)
    assert json.loads(used.dataset.source) == {"name": "worked", "version": 2}
    assert run.info.status == "FAILED"
    environment = json.loads(mlflow.artifacts.load_text(f"runs:/{stage}/environment.json"))
    assert environment["packages"]["mlflow"] == mlflow.__version__
    assert mlflow.artifacts.load_text(f"runs:/{parent}/recipe.yaml") == "name: tiny\nseed: 7\n"


def test_a_retried_pipeline_run_continues_the_same_mlflow_run(
    registry: ModelRegistry, client: MlflowClient
) -> None:
    first = registry.start_pipeline_run("tiny", "r3", "name: tiny")
    registry.finish_run(first, "FAILED")
    assert registry.start_pipeline_run("tiny", "r3", "name: tiny") == first
    assert client.get_run(first).info.status == "RUNNING"


def test_using_the_registry_prints_nothing_and_writes_nothing_into_the_working_directory(
    store: Store, run_id: str, make_model: MakeModel, tmp_path: Path
) -> None:
    directory, elsewhere = make_model(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = "from pathlib import Path; from infra.registry import ModelRegistry as R; " + (
        f"R({store[0]!r}, Path({str(store[1])!r}))"
        f".register_model({run_id!r}, 'tiny.quiet', Path({str(directory)!r}), 'key-quiet', {{}})"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=elsewhere, env=environment, capture_output=True, check=True
    )
    assert (list(elsewhere.iterdir()), done.stdout, done.stderr) == ([], b"", b"")


def test_a_metric_named_after_any_source_is_logged(
    registry: ModelRegistry, run_id: str, client: MlflowClient
) -> None:
    registry.log_metrics(run_id, {"eval/accuracy/a*b": 0.5, "eval/accuracy/a+b": 0.25}, step=0)
    logged = client.get_run(run_id).data.metrics
    assert {v for k, v in logged.items() if k.startswith("eval/accuracy/a_")} == {0.5, 0.25}


def test_a_damaged_database_is_named_and_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    database.write_text("no database" * 100)
    with pytest.raises(HomeError, match=r"MLflow's database .*mlflow\.db cannot be used: file is not a"):
        ModelRegistry(f"sqlite:///{database}", tmp_path / "artifacts")
    assert database.read_text() == "no database" * 100
