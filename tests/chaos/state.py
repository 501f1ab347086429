"""What a home has come to, as one document: two homes agree if and only if their documents are equal.

Left out is what differs between two runs that nobody disturbed: times, run ids, logs, MLflow's own ids.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from infra.home import Home
from infra.ledger import Ledger
from infra.process_identity import is_same_process
from infra.published_files import content_hash, publishable_files
from infra.registry import ModelRegistry
from infra.warehouse.integrity import find_damage
from infra.warehouse.warehouse import Warehouse

_OF_ONE_RUN = ("logs", "mlflow", "prefect", "cache", "locks/stage-")


def state_of(home: Home) -> dict[str, Any]:
    """Sorted lists of strings by what they are about."""
    ledger, warehouse = Ledger(home.ledger_path), Warehouse(home)
    registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)
    versions = warehouse.versions()
    damage = find_damage(home, warehouse.catalog, versions, True, lambda done, total: None)
    return {
        "weights": [f"{path.name} {content_hash(path, publishable_files(path))}" for path in _models(home)],
        "executions": sorted(
            f"{made.stage} {made.key} {made.fingerprint} {made.name} {made.version}"
            for made in ledger.executions()
        ),
        "dataset versions": [
            f"{version} {version.fingerprint} {version.kind} {version.num_rows}" for version in versions
        ],
        "damaged rows": [found.found for found in damage],
        **_registered(registry, home),
        "files": sorted(_files(home)),
        "unfinished": sorted(_unfinished(ledger)),
    }


def _models(home: Home) -> list[Path]:
    return sorted(home.models_dir.iterdir())


def _registered(registry: ModelRegistry, home: Home) -> dict[str, list[str]]:
    client = MlflowClient(home.mlflow_uri)
    experiments = [found.experiment_id for found in client.search_experiments()]
    versions = registry.list_models()
    runs = client.search_runs(experiments, run_view_type=ViewType.ALL)
    logged = client.search_logged_models(experiments)
    linked = {model.model_id: model.tags.get("mlflow.modelVersions", "") for model in logged}
    return {
        "model versions": [
            f"{v.name}/{v.version} {v.stage_key} {v.tags['burnish.content']}" for v in versions
        ],
        "copies": [
            f"{v.name}/{v.version} {content_hash(path, publishable_files(path))}"
            for v in versions
            for path in [registry.model_directory(f"{v.name}/{v.version}")]
        ],
        "logged models": sorted(f"{model.name} {model.status} {linked[model.model_id]}" for model in logged),
        "unfinished in MLflow": sorted(
            f"{run.data.tags.get('burnish.stage', 'pipeline')} {run.info.status}"
            for run in runs
            if run.info.status in ("RUNNING", "SCHEDULED")
        ),
    }


def _files(home: Home) -> Iterator[str]:
    for path in home.path.rglob("*"):
        name = path.relative_to(home.path).as_posix()
        if not name.startswith(_OF_ONE_RUN) and path.is_file():
            yield name


def _unfinished(ledger: Ledger) -> Iterator[str]:
    for run in ledger.runs(limit=1000):
        if run.ended is None:
            alive = "alive" if is_same_process(run.pid, run.pid_started) else "dead"
            yield f"run {run.state}, its process {alive}"
        for stage in ledger.run_stages(run.run_id):
            if stage.state in ("running", "waiting"):
                yield f"{stage.stage} {stage.state}"


if __name__ == "__main__":
    print(json.dumps(state_of(Home(Path(sys.argv[1])))))
