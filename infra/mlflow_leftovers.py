"""Runs of MLflow that nobody will end any more: their pipeline's process is gone."""
# MLflow's entities have no annotations.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Collection

from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from infra.home import Home
from infra.mlflow_database import connect
from infra.mlflow_names import tags_equal


def end_left_runs(home: Home, pipeline: str, live: Collection[str]) -> None:
    """End, as killed, what MLflow calls running of a pipeline's runs, but for our runs named in `live`."""
    client = connect(home.mlflow_uri, home.mlflow_artifacts_dir)
    running = _running(client, pipeline)
    kept = {run.info.run_id for run in running if run.data.tags.get("burnish.run") in live}
    for run in running:
        if run.info.run_id not in kept and run.data.tags.get(MLFLOW_PARENT_RUN_ID) not in kept:
            client.set_terminated(run.info.run_id, "KILLED")


def _running(client: MlflowClient, pipeline: str) -> list[Run]:
    experiment = client.get_experiment_by_name(pipeline)
    if experiment is None:
        return []
    wanted = f"{tags_equal({'burnish.pipeline': pipeline})} and attributes.status = 'RUNNING'"
    page = client.search_runs([experiment.experiment_id], wanted)
    found = list(page)
    while page.token:
        page = client.search_runs([experiment.experiment_id], wanted, page_token=page.token)
        found += page
    return found
