"""One run of a recipe at work: looks a node up, makes it if it is not there, keeps the result.

Prefect's tasks call `PipelineRun.make` and nothing else: the order is Prefect's, the truth the ledger's.
"""

import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from data_contracts.errors import BurnishError, GateRefused, Interrupted
from data_contracts.jobs import StageJob
from data_contracts.stage_configs import MODEL_KINDS
from flows.artifacts import ArtifactWriter
from flows.dataset_config import DatasetConfig
from flows.datasets import build_table
from flows.drift import num_threads
from flows.forwarding import Forwarding
from flows.gating import require_passed
from flows.nodes import REGISTERED, Node, adapter_base
from flows.plan import Plan
from flows.preflight import Prepared
from flows.results import Results
from flows.suites import GATE
from flows.view import RunView
from infra import records as states
from infra.holders import Holder
from infra.home import Home
from infra.leases import lease_accelerators, leases_dir
from infra.ledger import Ledger
from infra.records import Execution
from infra.stage_processes import run_stage
from stages import child

_COMPUTING = (*MODEL_KINDS, "verify")
"""Kinds that need the accelerator, or all cores; the others only move rows."""


@dataclass
class PipelineRun:
    """Shared by the tasks of one run."""

    run_id: str
    plan: Plan
    force: frozenset[str]
    home: Home
    ledger: Ledger
    view: RunView
    prepared: Prepared
    stop: threading.Event
    override: str | None = None
    """Why to go on where a gate refuses; None to stop there."""

    nodes: Mapping[str, Node] = field(init=False)
    results: Results = field(init=False)
    artifacts: ArtifactWriter = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = {step.node.name: step.node for step in self.plan.steps}
        self.artifacts = ArtifactWriter(self.plan.recipe.name)
        self.results = Results(self.plan.recipe, self.run_id, self.home, self.ledger)
        self._slots = threading.Semaphore(self.plan.recipe.run.parallel_stages)

    def make(self, name: str) -> Execution:
        """The finished execution of a node: looked up, or run now. Raises the stage's BurnishError."""
        node = self.nodes[name]
        try:
            with self.home.lock(
                f"stage-{node.key}",
                holder=f"run {self.run_id}",
                on_wait=lambda holder: self.view.wait(name, f"for {holder}, which makes the same"),
                should_stop=self.stop.is_set,
            ) as lock:
                execution = self._find(node) or self._make(node, lock)
            if node.kind == GATE and (reason := require_passed(self.ledger, execution, self.override)):
                self.note(node, states.DONE, f"refused, and overridden: {reason}")
        except Exception as error:
            found = error.found if isinstance(error, BurnishError) else f"{type(error).__name__}: {error}"
            self.note(node, _state_after(error), found)
            raise
        self.results.finished[name] = execution
        return execution

    def note(self, node: Node, state: str, text: str) -> None:
        """Tell the ledger and whoever watches how a node ended."""
        self.ledger.set_stage(self.run_id, node.name, node.kind, node.key, state, text)
        self.view.end(node.name, state, text)

    def _find(self, node: Node) -> Execution | None:
        if node.kind == REGISTERED:
            execution = self.plan[node.name].execution
            assert execution is not None
            self.note(node, states.REUSED, f"{execution.name} v{execution.version}")
            return execution
        found = None if node.name in self.force else self.results.find(node)
        if found is None:
            return None
        execution, because = found
        self.note(node, states.REUSED, f"{execution.name} v{execution.version} {because}".strip())
        return execution

    def _make(self, node: Node, lock: int) -> Execution:
        self.ledger.set_stage(self.run_id, node.name, node.kind, node.key, states.RUNNING)
        if isinstance(node.config, DatasetConfig):
            return self._publish_dataset(node)
        if node.kind not in _COMPUTING:
            return self._run(node, (), [lock])
        with self._slots:
            if self.stop.is_set():
                raise Interrupted(f"Stage {node.name} was not started: the run was stopped.")
            with lease_accelerators(
                self.plan.recipe.run.accelerators,
                _count_accelerators(),
                holder=Holder(what=f"{node.name} of run {self.run_id}", home=str(self.home.path)),
                on_wait=lambda held: self.view.wait(node.name, held),
                should_stop=self.stop.is_set,
                directory=leases_dir(os.environ),
            ) as lease:
                return self._run(node, lease.indices, [lock, *lease.locks])

    def _publish_dataset(self, node: Node) -> Execution:
        began = time.monotonic()
        prepared = self.prepared.pop(node.key, None)
        if prepared is None:
            parents = {parent: pq.read_table(self.results.path(parent)) for parent in node.parents}
            prepared = build_table(self.home, self.ledger, self.plan.recipe, node, parents)
        kind, table, left_out = prepared.kind, prepared.table, prepared.num_withdrawn
        notes = (f"{left_out} withdrawn rows left out",) if left_out else ()
        execution = self.results.keep_dataset(node, kind, table, time.monotonic() - began, notes)
        made = f"{execution.name}@{execution.version} · {table.num_rows} {kind} rows"
        self.note(node, states.DONE, " · ".join([made, *notes]))
        return execution

    def _run(self, node: Node, accelerators: tuple[int, ...], locks: Sequence[int]) -> Execution:
        began = time.monotonic()
        job = self._job(node, accelerators)
        self.view.begin(node.name)
        from infra.system_metrics import system_metrics  # imports MLflow

        mlflow_run = self.results.start_mlflow_run(node)
        forwarding = Forwarding(self, node.name, mlflow_run)
        status = "FAILED"
        try:
            with system_metrics(mlflow_run, self.home.mlflow_uri):
                result = run_stage(
                    child.run, job, on_progress=forwarding, should_stop=self.stop.is_set, locks=locks
                )
            forwarding.finish(result.metrics)
            execution = self.results.keep_stage(node, job, result, mlflow_run, time.monotonic() - began)
            status = "FINISHED"
        except Interrupted:
            status = "KILLED"
            raise
        finally:
            self._keep_log(node, job)
            forwarding.send()
            self.results.registry.finish_run(mlflow_run, status)
        shutil.rmtree(job.work_dir)
        self.note(node, states.DONE, _headline(execution))
        return execution

    def _job(self, node: Node, accelerators: tuple[int, ...]) -> StageJob:
        assert not isinstance(node.config, DatasetConfig)
        run, results = self.plan.recipe.run, self.results
        return StageJob(
            name=node.name,
            config=node.config,
            seed=node.identity["seed"],
            start=results.model_input(node.start) if node.start else None,
            base=results.model_input("base") if node.start else None,
            adapter_base=results.model_input(below)
            if (below := adapter_base(self.nodes, node.name))
            else None,
            rows=tuple(results.rows_input(parent, weight) for parent, weight in node.rows.items()),
            compare_with=tuple(results.rows_input(parent, 1.0) for parent in node.compare_with),
            verifiers=self.plan.recipe.verifiers,
            work_dir=self.home.work_dir / node.key,
            reference_cache_dir=self.home.reference_cache_dir,
            run=run.model_copy(update={"threads": num_threads(run)}),
            accelerators=accelerators,
        )

    def _keep_log(self, node: Node, job: StageJob) -> None:
        folder = self.home.logs_dir / self.run_id
        folder.mkdir(exist_ok=True)
        if job.log_path.exists():
            shutil.copy2(job.log_path, folder / f"{node.name}.log")
        if job.report_path.exists():
            shutil.copy2(job.report_path, folder / f"{node.name}.json")
        if job.progress_path.exists():
            shutil.copy2(job.progress_path, folder / f"{node.name}.progress.jsonl")


def _headline(execution: Execution) -> str:
    """One line about what a finished stage made."""
    metrics = execution.result["metrics"]
    made = f"{execution.name}{'/' if execution.output == 'model' else '@'}{execution.version}"
    parts = [made, f"{execution.seconds:.0f} s"]
    if "eval/accuracy" in metrics:
        parts.append(
            f"accuracy {metrics['eval/accuracy']:.1%} of {metrics['eval/completions']:.0f} completions"
        )
    return " · ".join([*parts, *execution.result["notes"]])


def _state_after(error: Exception) -> str:
    if isinstance(error, Interrupted):
        return states.INTERRUPTED
    return states.REFUSED if isinstance(error, GateRefused) else states.FAILED


def _count_accelerators() -> int:
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
