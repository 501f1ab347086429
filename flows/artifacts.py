"""A stage on Prefect's page: a bar while it runs, a table of what it measured, a link to its run in MLflow.

They are ornaments: a server that does not take one is told of once, and asked no more in this run.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.runtime import task_run

logger = logging.getLogger("burnish")

_UPDATE_SECONDS = 5.0
"""Between two updates of a bar."""


class ArtifactWriter:
    """Writes artifacts of the task run we are in, for all stages of a pipeline's run; nothing outside of one."""

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._is_refused = False

    def write(self, write: Callable[..., Any], **content: Any) -> UUID | None:
        """The artifact's id; None where it was not taken."""
        if self._is_refused or task_run.get_id() is None:
            return None
        try:
            return write(**content)
        except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises: no reason to lose a stage
            self._is_refused = True
            logger.warning("Prefect's server takes no artifacts: %s: %s", type(error).__name__, error)
            return None

    def key(self, stage: str, what: str) -> str:
        """Keys have small letters, digits and dashes."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self._pipeline}-{stage}-{what}".lower()).strip("-")


class StageArtifacts:
    """Those of one stage."""

    def __init__(self, writer: ArtifactWriter, stage: str) -> None:
        self._writer, self._stage = writer, stage
        self._bar: UUID | None = None
        self._updated = 0.0

    def link(self, page: Callable[[], str | None]) -> None:
        """Where MLflow shows the stage's run, if anywhere."""
        self._writer.write(_write_link, page=page, key=self._key("mlflow"))

    def progress(self, share: float, seconds: float, description: str) -> None:
        """`share` of the work is done, `seconds` after the stage began; in words, `description`."""
        told: dict[str, Any] = {"progress": 100 * min(share, 1.0), "description": description}
        if self._bar is None:
            self._bar = self._writer.write(create_progress_artifact, key=self._key("progress"), **told)
        elif seconds - self._updated >= _UPDATE_SECONDS or share >= 1:
            self._writer.write(update_progress_artifact, artifact_id=self._bar, **told)
        else:
            return
        self._updated = seconds

    def table(self, metrics: Mapping[str, float]) -> None:
        """What the stage measured. Text, since JSON knows no nan."""
        rows = [{"metric": name, "value": f"{value:.6g}"} for name, value in sorted(metrics.items())]
        self._writer.write(create_table_artifact, table=rows, key=self._key("metrics"))

    def _key(self, what: str) -> str:
        return self._writer.key(self._stage, what)


def _write_link(page: Callable[[], str | None], key: str) -> Any:
    if (url := page()) is not None:
        return create_link_artifact(link=url, link_text="MLflow run", key=key)
    return None
