"""The model card of a version in MLflow: its description, and README.md beside its weights.

A card is no content: it is renewed when more is known of a model, and neither compared nor fetched with the files.
Importing this module imports MLflow (2 s), so callers import it late.
"""
# MLflow's entities have no annotations.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.exceptions import MlflowException

from data_contracts.errors import ServerError
from infra.home import Home
from infra.mlflow_database import connect

MAX_DESCRIPTION = 5000
"""Characters of MLflow's column; PostgreSQL refuses more."""


class RegistryCards:
    """Reads and writes cards. A card may be written again at any time."""

    def __init__(self, home: Home) -> None:
        self._client = connect(home.mlflow_uri, home.mlflow_artifacts_dir)

    def description(self, name: str, version: int) -> str | None:
        """Empty where nobody wrote one; None where MLflow has lost the version."""
        try:
            return str(self._client.get_model_version(name, str(version)).description or "")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def write(self, name: str, version: int, description: str, readme: str) -> None:
        """Raises ServerError where MLflow or its storage does not take it, or has lost the version."""
        try:
            source = str(self._client.get_model_version(name, str(version)).source)
            with TemporaryDirectory() as folder:
                file = Path(folder) / "README.md"
                file.write_text(readme, encoding="utf-8")
                self._client.log_model_artifact(source.removeprefix("models:/"), str(file))
            self._client.update_model_version(name, str(version), description)  # last: it is what is compared
        except (MlflowException, OSError) as error:
            raise ServerError(
                f"MLflow did not take the card of {name}/{version}: {error}",
                "a registered version, and storage that can be written",
                "`burnish doctor --deep --fix` writes it again.",
            ) from error
