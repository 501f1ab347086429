"""A run's report beside its other artifacts in MLflow. Importing this module imports MLflow (2 s)."""

from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.exceptions import MlflowException

from data_contracts.errors import ServerError
from infra.home import Home
from infra.mlflow_database import connect

REPORT = "report.html"
"""Its name there."""


def keep_report(home: Home, mlflow_run_id: str, report: Path) -> None:
    """Put the report into the run, in the place of an earlier one. Raises ServerError where MLflow does not take it."""
    try:
        with TemporaryDirectory() as folder:
            named = Path(folder) / REPORT
            named.write_bytes(report.read_bytes())
            connect(home.mlflow_uri, home.mlflow_artifacts_dir).log_artifact(mlflow_run_id, str(named))
    except (MlflowException, OSError) as error:
        raise ServerError(
            f"MLflow did not take the report of run {mlflow_run_id}: {error}",
            "a run that MLflow has, and storage that can be written",
            "`burnish report` gives it to MLflow again.",
        ) from error
