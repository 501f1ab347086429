"""What a stage shows on Prefect's page and in MLflow while it runs, and that no stage is lost by it."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID, uuid4

import pytest

from flows import artifacts
from flows.artifacts import ArtifactWriter, StageArtifacts
from infra import system_metrics as sampling
from infra.registry import ModelRegistry
from infra.system_metrics import system_metrics

Written = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """What Prefect was given, inside of a task run."""
    found: Written = []

    def taker(what: str) -> Callable[..., UUID]:
        def take(**content: Any) -> UUID:
            found.append((what, content))
            return content.get("artifact_id") or uuid4()

        return take

    for what in ("create_link", "create_progress", "create_table", "update_progress"):
        monkeypatch.setattr(artifacts, f"{what}_artifact", taker(what))
    monkeypatch.setattr(artifacts.task_run, "get_id", lambda: "a task run", raising=False)
    return found


def test_a_bar_moves_every_five_seconds_and_at_the_end(written: Written) -> None:
    stage = StageArtifacts(ArtifactWriter("My_Recipe"), "grpo.evaluate")
    for step in range(1, 101):
        stage.progress(step / 100, step / 10, f"{step}/100")
    assert [(what, content["description"]) for what, content in written] == [
        ("create_progress", "1/100"),
        ("update_progress", "51/100"),
        ("update_progress", "100/100"),
    ]
    assert [content["progress"] for _, content in written] == [1.0, 51.0, 100.0]
    assert written[0][1]["key"] == "my-recipe-grpo-evaluate-progress"


def test_a_link_is_written_where_mlflow_has_a_page(written: Written) -> None:
    stage = StageArtifacts(ArtifactWriter("r"), "s")
    stage.link(lambda: None)
    stage.link(lambda: "http://127.0.0.1:5000/#/experiments/1/runs/a")
    ((what, content),) = written
    assert (what, content["link"]) == ("create_link", "http://127.0.0.1:5000/#/experiments/1/runs/a")


def test_a_table_has_all_that_was_measured(written: Written) -> None:
    StageArtifacts(ArtifactWriter("r"), "s").table({"b": math.nan, "a": 0.125, "c": math.inf})
    assert written == [
        (
            "create_table",
            {
                "key": "r-s-metrics",
                "table": [
                    {"metric": "a", "value": "0.125"},
                    {"metric": "b", "value": "nan"},
                    {"metric": "c", "value": "inf"},
                ],
            },
        )
    ]


def test_a_server_that_takes_no_artifact_is_told_of_once_and_asked_no_more(
    written: Written, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**content: Any) -> NoReturn:
        raise OSError("no such server")

    monkeypatch.setattr(artifacts, "create_link_artifact", refuse)
    writer = ArtifactWriter("r")
    with caplog.at_level(logging.WARNING, "burnish"):
        for name in ("sft", "dpo"):
            stage = StageArtifacts(writer, name)
            stage.link(lambda: "http://127.0.0.1:1")
            stage.progress(0.5, 1.0, "half")
            stage.table({"loss": 1.0})
    assert [record.message for record in caplog.records] == [
        "Prefect's server takes no artifacts: OSError: no such server"
    ]
    assert written == []


def test_nothing_is_written_outside_of_a_task_run(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts.task_run, "get_id", lambda: None, raising=False)
    StageArtifacts(ArtifactWriter("r"), "s").progress(0.5, 1.0, "half")
    assert written == []


# MLflow's system metrics


def test_the_machine_is_sampled_while_a_stage_runs_and_at_most_every_ten_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
    made: list[Any] = []

    class Monitor(sampling.SystemMetricsMonitor):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(sampling, "SystemMetricsMonitor", Monitor)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registry = ModelRegistry(uri, tmp_path / "artifacts")
    run = registry.start_pipeline_run("r", "run-1", "")
    began = time.monotonic()
    with system_metrics(run, uri):
        (monitor,) = made
        thread = monitor._process
        assert thread.is_alive()
        assert monitor.sampling_interval == 10.0
        metrics = monitor.collect_metrics()
        monitor.publish_metrics(monitor.aggregate_metrics())
    assert time.monotonic() - began < 8, "the end of a stage waits for no sample"
    assert not thread.is_alive()
    assert "system_memory_usage_megabytes" in metrics
    logged = registry._client.get_run(run).data.metrics  # pyright: ignore[reportPrivateUsage]
    assert logged["system/system_memory_usage_megabytes"] > 0


def test_a_machine_without_counters_runs_its_stages_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise PermissionError("/proc/net/dev")

    monkeypatch.setattr(sampling, "SystemMetricsMonitor", fail)
    with system_metrics("run", "sqlite:///nowhere.db"):
        ran = True
    assert ran
