"""One run of a recipe at work: looks a node up in the ledger, makes it if it is not there, keeps the result.

Prefect's tasks call `PipelineRun.make` and nothing else, so the order is Prefect's and the truth the ledger's.
"""

import os
import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from data_contracts.canonical import fingerprint
from data_contracts.errors import BurnishError, Interrupted
from data_contracts.jobs import ModelInput, Progress, RowsInput, StageJob, StageResult
from data_contracts.rows import RowKind
from data_contracts.stage_configs import MODEL_KINDS
from flows.datasets import build_table
from flows.nodes import Node
from flows.plan import Plan, find_reusable, output_path
from flows.preflight import Prepared
from flows.recipe import DatasetConfig
from flows.view import RunView
from infra import records as states
from infra.home import Home, publish_directory
from infra.leases import lease_accelerators
from infra.ledger import Ledger
from infra.records import Execution
from infra.stage_processes import run_stage
from infra.warehouse import Warehouse
from stages import child

if TYPE_CHECKING:
    from infra.registry import ModelRegistry

_COMPUTING = (*MODEL_KINDS, "verify")
"""Kinds that need the accelerator, or all cores; the others only move rows."""

_MLFLOW_SECONDS = 1.0
"""Between two metric batches of a running stage."""

_LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "duckdb")


@dataclass
class PipelineRun:
    """Shared by the tasks of one run. Everything mutable in it is either a lock or behind one."""

    run_id: str
    plan: Plan
    force: frozenset[str]
    home: Home
    ledger: Ledger
    view: RunView
    prepared: Prepared
    stop: threading.Event
    nodes: dict[str, Node] = field(init=False)
    executions: dict[str, Execution] = field(default_factory=dict)
    mlflow_run_id: str = ""

    def __post_init__(self) -> None:
        self.nodes = {step.node.name: step.node for step in self.plan.steps}
        self._warehouse = Warehouse(self.home)
        self._slots = threading.Semaphore(self.plan.recipe.run.parallel_stages)
        self._opening = ThreadPoolExecutor(1)
        # MLflow takes seconds to import and its first database longer: beside the first stages, not before.
        self._registry: Future[ModelRegistry] = self._opening.submit(_open_registry, self.home)

    @property
    def registry(self) -> "ModelRegistry":
        return self._registry.result()

    def begin(self, recipe_yaml: str) -> None:
        """Open the pipeline's MLflow run."""
        self.mlflow_run_id = self.registry.start_pipeline_run(self.plan.recipe.name, self.run_id, recipe_yaml)
        self.registry.log_environment(self.mlflow_run_id)

    def make(self, name: str) -> Execution:
        """The finished execution of a node: looked up, or run now. Raises the stage's BurnishError."""
        node = self.nodes[name]
        try:
            with self.home.lock(
                f"stage-{node.key}",
                holder=f"run {self.run_id}",
                on_wait=lambda holder: self.view.say(f"{name}: {holder} is making the same; waiting for it"),
            ):
                execution = self._find(node) or self._make(node)
        except BurnishError as error:
            state = states.INTERRUPTED if isinstance(error, Interrupted) else states.FAILED
            self._note(node, state, error.found)
            raise
        self.executions[name] = execution
        return execution

    def _find(self, node: Node) -> Execution | None:
        """An execution with the same logical key, or with the same content going in (early cut-off)."""
        if node.name in self.force:
            return None
        found = find_reusable(self.home, self.ledger, node.key)
        because = ""
        if found is None:
            same = self.ledger.find_by_input_key(self._input_key(node))
            found = next((e for e in same if output_path(self.home, e).exists()), None)
            because = "the same content goes in"
        if found is None:
            return None
        if (found.pipeline, found.stage, found.key) != (self.plan.recipe.name, node.name, node.key):
            found = self._adopt(node, found)
        self._note(node, states.REUSED, f"{found.name} v{found.version} {because}".strip())
        return found

    def _adopt(self, node: Node, found: Execution) -> Execution:
        """Give another execution's output this node's name and key."""
        result = StageResult.model_validate({k: v for k, v in found.result.items() if k != "kind"})
        version = self._keep(node, output_path(self.home, found), result, found.fingerprint, found.result)
        return self._record(node, version, found.output, found.fingerprint, found.result, seconds=0.0)

    def _make(self, node: Node) -> Execution:
        self.ledger.set_stage(self.run_id, node.name, node.kind, node.key, states.RUNNING)
        if isinstance(node.config, DatasetConfig):
            return self._publish_dataset(node)
        if node.kind not in _COMPUTING:
            return self._run(node, accelerators=())
        with self._slots:
            if self.stop.is_set():
                raise Interrupted(f"Stage {node.name} was not started: the run was stopped.")
            run = self.plan.recipe.run
            with lease_accelerators(
                run.accelerators,
                _count_accelerators(),
                holder=f"{node.name} of run {self.run_id}",
                on_wait=lambda who: self.view.say(f"{node.name}: waiting for an accelerator; held by {who}"),
                should_stop=self.stop.is_set,
            ) as indices:
                return self._run(node, accelerators=indices)

    def _publish_dataset(self, node: Node) -> Execution:
        began = time.monotonic()
        prepared = self.prepared.pop(node.key, None)
        if prepared is None:
            parents = {p: pq.read_table(self._path(p)) for p in node.parents}  # pyright: ignore[reportUnknownMemberType]
            prepared = build_table(self.plan.recipe, node, parents)
        kind, table = prepared
        version = self._warehouse.publish(self._output_name(node), kind, table, node.key)
        result = {
            **StageResult(
                output="rows", fingerprint=version.fingerprint, metrics={"data/rows": float(table.num_rows)}
            ).model_dump(mode="json"),
            "kind": kind.value,
        }
        seconds = time.monotonic() - began
        execution = self._record(node, version.version, "rows", version.fingerprint, result, seconds)
        self._note(node, states.DONE, f"{version} · {table.num_rows} {kind} rows")
        return execution

    def _run(self, node: Node, accelerators: tuple[int, ...]) -> Execution:
        began = time.monotonic()
        job = self._job(node, accelerators)
        self.view.begin(node.name)
        mlflow_run = self._start_mlflow_run(node)
        forwarding = _Forwarding(self, node.name, mlflow_run)
        status = "FAILED"
        try:
            result = run_stage(child.run, job, on_progress=forwarding, should_stop=self.stop.is_set)
            self.registry.log_metrics(mlflow_run, result.metrics, forwarding.step)
            execution = self._keep_result(node, job, result, mlflow_run, began)
            status = "FINISHED"
        except Interrupted:
            status = "KILLED"
            raise
        finally:
            self._keep_log(node, job)
            forwarding.send()
            self.registry.finish_run(mlflow_run, status)
        shutil.rmtree(job.work_dir)
        self._note(node, states.DONE, _headline(execution))
        return execution

    def _job(self, node: Node, accelerators: tuple[int, ...]) -> StageJob:
        assert not isinstance(node.config, DatasetConfig)
        run = self.plan.recipe.run
        threads = run.threads or max(1, (os.cpu_count() or 1) // run.parallel_stages)
        return StageJob(
            name=node.name,
            config=node.config,
            seed=self.plan.recipe.seed,
            start=self._model_input(node.start) if node.start else None,
            base=self._model_input("base") if node.kind != "base" and node.start else None,
            rows=tuple(self._rows_input(parent, weight) for parent, weight in node.rows.items()),
            compare_with=tuple(self._rows_input(parent, 1.0) for parent in node.compare_with),
            work_dir=self.home.work_dir / node.key,
            reference_cache_dir=self.home.reference_cache_dir,
            run=run.model_copy(update={"threads": threads}),
            accelerators=accelerators,
        )

    def _start_mlflow_run(self, node: Node) -> str:
        from infra.mlflow_datasets import UsedDataset

        params = {**node.identity["config"], "seed": self.plan.recipe.seed}
        if node.start:
            params["start"] = f"{self.executions[node.start].name}/{self.executions[node.start].version}"
        mlflow_run = self.registry.start_stage_run(
            self.mlflow_run_id, self.plan.recipe.name, node.name, node.key, params
        )
        context = "evaluate" if node.kind == "verify" else "train"
        used = [self.executions[parent] for parent in node.rows]
        self.registry.log_datasets(
            mlflow_run, [UsedDataset(e.name, e.version, e.fingerprint, context) for e in used]
        )
        return mlflow_run

    def _keep_result(
        self, node: Node, job: StageJob, result: StageResult, mlflow_run: str, began: float
    ) -> Execution:
        """Put the output where it stays, register it, and only then commit it to the ledger."""
        document: dict[str, Any] = result.model_dump(mode="json")
        if node.makes_model:
            kept = self.home.models_dir / result.fingerprint
            publish_directory(job.output_dir, kept)
            content = result.fingerprint
            version = self._register(node, kept, mlflow_run)
        else:
            table = pq.read_table(job.output_dir / "rows.parquet")  # pyright: ignore[reportUnknownMemberType]
            kind = _rows_kind(node)
            published = self._warehouse.publish(self._output_name(node), kind, table, node.key)
            document |= {"kind": kind.value}
            content, version = published.fingerprint, published.version
        return self._record(node, version, result.output, content, document, time.monotonic() - began)

    def _keep(
        self, node: Node, path: Path, result: StageResult, content: str, document: Mapping[str, Any]
    ) -> int:
        if node.makes_model:
            mlflow_run = self._start_mlflow_run(node)
            try:
                version = self._register(node, path, mlflow_run)
                self.registry.log_metrics(mlflow_run, result.metrics, step=0)
            finally:
                self.registry.finish_run(mlflow_run, "FINISHED")
            return version
        table = pq.read_table(path)  # pyright: ignore[reportUnknownMemberType]
        return self._warehouse.publish(
            self._output_name(node), RowKind(document["kind"]), table, node.key
        ).version

    def _register(self, node: Node, path: Path, mlflow_run: str) -> int:
        tags = {"burnish.run": self.run_id, "burnish.recipe": self.plan.recipe.name}
        if node.start:
            start = self.executions[node.start]
            tags["burnish.start"] = f"{start.name}/{start.version}"
        datasets = [f"{self.executions[p].name}@{self.executions[p].version}" for p in node.rows]
        if datasets:
            tags["burnish.datasets"] = ", ".join(datasets)
        return self.registry.register_model(mlflow_run, self._output_name(node), path, node.key, tags)

    def _record(
        self,
        node: Node,
        version: int,
        output: str,
        content: str,
        result: Mapping[str, Any],
        seconds: float,
    ) -> Execution:
        execution = Execution(
            run_id=self.run_id,
            pipeline=self.plan.recipe.name,
            stage=node.name,
            kind=node.kind,
            key=node.key,
            input_key=self._input_key(node),
            identity=node.identity,
            output=output,
            fingerprint=content,
            name=self._output_name(node),
            version=version,
            result=dict(result),
            libraries={library: metadata.version(library) for library in _LIBRARIES},
            seconds=seconds,
            ended=time.time(),
        )
        self.ledger.record(execution)
        return execution

    def _input_key(self, node: Node) -> str:
        """The node's identity with its parents' content in place of their logical keys."""
        contents = [self.executions[parent].fingerprint for parent in node.parents]
        own = {k: v for k, v in node.identity.items() if k not in ("start", "base", "compare_with")}
        own["rows"] = list(node.rows.values())
        return fingerprint({"own": own, "parents": contents})

    def _model_input(self, name: str) -> ModelInput:
        execution = self.executions[name]
        return ModelInput(name=name, path=self._path(name), fingerprint=execution.fingerprint)

    def _rows_input(self, name: str, weight: float) -> RowsInput:
        execution = self.executions[name]
        return RowsInput(
            name=name,
            kind=RowKind(execution.result["kind"]),
            path=self._path(name),
            fingerprint=execution.fingerprint,
            weight=weight,
        )

    def _path(self, name: str) -> Path:
        return output_path(self.home, self.executions[name])

    def _output_name(self, node: Node) -> str:
        return f"{self.plan.recipe.name}.{node.name}"

    def _keep_log(self, node: Node, job: StageJob) -> None:
        folder = self.home.logs_dir / self.run_id
        folder.mkdir(exist_ok=True)
        if job.log_path.exists():
            shutil.copy2(job.log_path, folder / f"{node.name}.log")

    def _note(self, node: Node, state: str, text: str) -> None:
        self.ledger.set_stage(self.run_id, node.name, node.kind, node.key, state, text)
        self.view.end(node.name, state, text)


class _Forwarding:
    """A running stage's progress, to the view at once and to MLflow in batches."""

    def __init__(self, run: PipelineRun, stage: str, mlflow_run: str) -> None:
        self._run, self._stage, self._mlflow_run = run, stage, mlflow_run
        self._metrics: dict[str, float] = {}
        self._unsent: list[Progress] = []
        self._sent = 0.0
        self.step = 0

    def __call__(self, progress: Progress) -> None:
        self.step = progress.step
        self._metrics |= progress.metrics
        self._run.view.progress(self._stage, progress.model_copy(update={"metrics": self._metrics}))
        if progress.metrics:
            self._unsent.append(progress)
        if progress.seconds - self._sent >= _MLFLOW_SECONDS:
            self._sent = progress.seconds
            self.send()

    def send(self) -> None:
        """Hand on what MLflow has not seen yet."""
        for progress in self._unsent:
            self._run.registry.log_metrics(self._mlflow_run, progress.metrics, progress.step)
        self._unsent.clear()


def _rows_kind(node: Node) -> RowKind:
    return {"verify": RowKind.rollouts, "pairs": RowKind.pairs, "select": RowKind.problems}[node.kind]


def _headline(execution: Execution) -> str:
    """One line about what a finished stage made."""
    metrics = execution.result["metrics"]
    made = f"{execution.name}{'/' if execution.output == 'model' else '@'}{execution.version}"
    parts = [made, f"{execution.seconds:.0f} s"]
    if "eval/accuracy" in metrics:
        parts.append(
            f"accuracy {metrics['eval/accuracy']:.1%} of {metrics['eval/completions']:.0f} completions"
        )
    parts += execution.result["notes"]
    return " · ".join(parts)


def _open_registry(home: Home) -> "ModelRegistry":
    from infra.registry import ModelRegistry

    return ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)


def _count_accelerators() -> int:
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
