"""What the nodes of one run have come to: found in the ledger, or kept after they were made.

Keeping has one order, whatever instant a kill comes at: the output to its place, then the registry, then the
ledger's row. Whoever finds the row finds all of it.
"""

import logging
import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.jobs import ModelInput, RowsInput, StageJob, StageResult
from data_contracts.rows import RowKind
from flows.dataset_config import DatasetConfig
from flows.drift import environment_of
from flows.gating import gate_result
from flows.identity import judged_by
from flows.nodes import Node
from flows.promoting.describing import describe_result
from flows.recipe import Recipe
from flows.rows_made import ROWS_MADE, verifiers_of_rows
from flows.stored import find_reusable, find_same_input, is_own, output_path
from flows.suites import GATE
from infra.home import Home
from infra.ledger import Ledger
from infra.publishing import publish_directory
from infra.records import Execution, Input, Role
from infra.servers import running_servers
from infra.settings import mlflow_server
from infra.training_rows import keep_training_rows
from infra.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from infra.registry import ModelRegistry, RunStatus


logger = logging.getLogger("burnish")


class Results:
    """Finished executions of a run by node name, and the stores behind them. Used from many threads."""

    def __init__(self, recipe: Recipe, run_id: str, home: Home, ledger: Ledger) -> None:
        self._recipe, self._run_id, self._home, self._ledger = recipe, run_id, home, ledger
        self._warehouse = Warehouse(home)
        # MLflow takes seconds to import, and its first database longer: beside other work, not before it.
        self._registry: Future[ModelRegistry] = ThreadPoolExecutor(1).submit(_open_registry, home)
        self.mlflow_run_id = ""
        self.finished: dict[str, Execution] = {}

    @property
    def registry(self) -> "ModelRegistry":
        return self._registry.result()

    def begin(self, recipe_yaml: str) -> None:
        """Open the pipeline's MLflow run."""
        self.mlflow_run_id = self.registry.start_pipeline_run(self._recipe.name, self._run_id, recipe_yaml)
        self.registry.log_environment(self.mlflow_run_id)

    def end(self, status: "RunStatus") -> None:
        """Close the pipeline's MLflow run."""
        self.registry.finish_run(self.mlflow_run_id, status)

    def find(self, node: Node) -> tuple[Execution, str] | None:
        """An execution with the node's logical key, or with the same content going in; and which of the two."""
        found, because = find_reusable(self._home, self._ledger, self._recipe.name, node), ""
        if found is None or found.input_key != node.input_key(self.finished):  # a parent came out differently
            found = find_same_input(self._home, self._ledger, self._recipe.name, node, self.finished)
            because = "the same content goes in"
        if found is None:
            return None
        has_stores = not node.makes_model or self.registry.has_version(found.name, found.version)
        if not is_own(found, self._recipe.name, node) or not has_stores:
            found = self._adopt(node, found)
        elif found.key != node.key:
            found = self._record(node, found.version, found.fingerprint, found.result, 0.0, found)
        return found, because

    def start_mlflow_run(self, node: Node) -> str:
        """A child run with the node's parameters and the dataset versions it reads."""
        from infra.mlflow_datasets import UsedDataset

        params = {**node.identity["config"], "seed": node.identity["seed"]}
        if node.start:
            params["start"] = f"{self.finished[node.start].name}/{self.finished[node.start].version}"
        mlflow_run = self.registry.start_stage_run(
            self.mlflow_run_id, self._recipe.name, node.name, node.key, params
        )
        context = "evaluate" if node.kind == "verify" else "train"
        used = [self.finished[parent] for parent in node.rows]
        self.registry.log_datasets(
            mlflow_run, [UsedDataset(e.name, e.version, e.fingerprint, context) for e in used]
        )
        return mlflow_run

    def mlflow_page(self, mlflow_run: str) -> str | None:
        """Where a person sees an MLflow run; None where no MLflow server runs."""
        address = mlflow_server(os.environ)
        if address is None and (servers := running_servers(self._home.path)):
            address = servers.mlflow.url
        return address and f"{address}/{self.registry.page_of(mlflow_run)}"

    def keep_dataset(
        self, node: Node, kind: RowKind, table: pa.Table, seconds: float, notes: tuple[str, ...] = ()
    ) -> Execution:
        """Publish a dataset's rows."""
        result = StageResult(
            output="rows", fingerprint="", metrics={"data/rows": float(table.num_rows)}, notes=notes
        ).model_dump(mode="json")
        return self._keep_rows(node, kind, table, result, seconds)

    def keep_stage(
        self, node: Node, job: StageJob, result: StageResult, mlflow_run: str, seconds: float
    ) -> Execution:
        """Put a stage's output where it stays, register it, and only then commit it to the ledger."""
        document = result.model_dump(mode="json")
        if node.makes_model:
            kept = self._home.models_dir / result.fingerprint
            publish_directory(job.output_dir, kept)
            if job.training_rows_path.exists():  # the base reads no rows
                keep_training_rows(self._home, node.input_key(self.finished), job.training_rows_path)
            if job.rollouts_dir.exists():
                name, rollouts = f"{self._output_name(node)}.rollouts", pq.read_table(job.rollouts_dir)
                document["rollouts"] = str(
                    self._warehouse.publish(name, RowKind.rollouts, rollouts, node.key)
                )
            version = self._register(node, kept, mlflow_run)
            return self._record(node, version, result.fingerprint, document, seconds)
        if node.kind == GATE:
            document |= gate_result(job.report_path, self.finished[next(iter(node.rows))])
        table = pq.read_table(job.output_dir / "rows.parquet")
        return self._keep_rows(node, ROWS_MADE[node.kind], table, document, seconds)

    def path(self, name: str) -> Path:
        """Where a finished node's output is."""
        return output_path(self._home, self.finished[name])

    def model_input(self, name: str) -> ModelInput:
        return ModelInput(name=name, path=self.path(name), fingerprint=self.finished[name].fingerprint)

    def rows_input(self, name: str, weight: float) -> RowsInput:
        execution = self.finished[name]
        return RowsInput(
            name=name,
            kind=RowKind(execution.result["kind"]),
            path=self.path(name),
            fingerprint=execution.fingerprint,
            weight=weight,
        )

    def _adopt(self, node: Node, found: Execution) -> Execution:
        """Give another execution's output this node's name and key."""
        if not node.makes_model:
            table = pq.read_table(output_path(self._home, found))
            kind = RowKind(found.result["kind"])
            published = self._warehouse.publish(self._output_name(node), kind, table, node.key)
            return self._record(node, published.version, found.fingerprint, found.result, 0.0, found)
        mlflow_run = self.start_mlflow_run(node)
        try:
            version = self._register(node, output_path(self._home, found), mlflow_run)
            self.registry.log_metrics(mlflow_run, found.result["metrics"], step=0)
        finally:
            self.registry.finish_run(mlflow_run, "FINISHED")
        return self._record(node, version, found.fingerprint, found.result, 0.0, found)

    def _keep_rows(
        self, node: Node, kind: RowKind, table: pa.Table, result: Mapping[str, Any], seconds: float
    ) -> Execution:
        published = self._warehouse.publish(self._output_name(node), kind, table, node.key)
        document = {**result, "kind": kind.value, "verifiers": verifiers_of_rows(table)}
        return self._record(node, published.version, published.fingerprint, document, seconds)

    def _register(self, node: Node, path: Path, mlflow_run: str) -> int:
        tags = {"burnish.run": self._run_id, "burnish.recipe": self._recipe.name}
        if node.start:
            start = self.finished[node.start]
            tags["burnish.start"] = f"{start.name}/{start.version}"
        datasets = [f"{self.finished[p].name}@{self.finished[p].version}" for p in node.rows]
        if datasets:
            tags["burnish.datasets"] = ", ".join(datasets)
        return self.registry.register_model(mlflow_run, self._output_name(node), path, node.key, tags)

    def _record(
        self,
        node: Node,
        version: int,
        content: str,
        result: Mapping[str, Any],
        seconds: float,
        adopted: Execution | None = None,
    ) -> Execution:
        execution = Execution(
            run_id=self._run_id,
            pipeline=self._recipe.name,
            stage=node.name,
            kind=node.kind,
            key=node.key,
            input_key=adopted.input_key if adopted else node.input_key(self.finished),
            identity=node.identity,
            inputs=self._inputs(node, adopted),
            output="model" if node.makes_model else "rows",
            fingerprint=content,
            name=self._output_name(node),
            version=version,
            result={**result, "judged_by": judged_by(node.config, [self.finished[p] for p in node.problems])},
            environment=adopted.environment if adopted else environment_of(node.kind, self._recipe.run),
            seconds=seconds,
            ended=time.time(),
        )
        self._ledger.note_code(node.code_parts)
        self._ledger.record(execution)
        for untold in describe_result(self._home, self._ledger, execution):
            logger.warning(untold)
        return execution

    def _inputs(self, node: Node, adopted: Execution | None) -> tuple[Input, ...]:
        """What the result was made from; an adopted one perhaps from other content than its parents have here."""
        own = [self._input(node.start, "start"), self._input("base", "base")] if node.start else []
        own += [self._input(name, "rows", weight) for name, weight in node.rows.items()]
        own += [self._input(name, "compare") for name in node.compare_with]
        if isinstance(node.config, DatasetConfig) and node.config.version:
            name, _, number = node.config.version.partition("@")
            content = node.identity["sources"]["version"]
            own.append(Input(node.config.version, "rows", name, int(number), content, 1.0))
        if adopted is None:
            return tuple(own)
        # Verdicts of another run may also have been compared with other models' there.
        both = zip(own, adopted.inputs, strict=False)
        return tuple(ours if ours.fingerprint == theirs.fingerprint else theirs for ours, theirs in both)

    def _input(self, name: str, role: Role, weight: float = 1.0) -> Input:
        made = self.finished[name]
        return Input(name, role, made.name, made.version, made.fingerprint, weight)

    def _output_name(self, node: Node) -> str:
        return f"{self._recipe.name}.{node.name}"


def _open_registry(home: Home) -> "ModelRegistry":
    from infra.registry import ModelRegistry

    return ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
