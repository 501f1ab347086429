"""What a running stage tells: to the view, MLflow, Prefect's page, the ledger, and whoever is to be notified."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from data_contracts.alarms import Alarm
from data_contracts.jobs import Progress
from flows.announcing import tell
from flows.artifacts import StageArtifacts
from flows.stage_numbers import StageNumbers
from flows.view import alarm_text

if TYPE_CHECKING:
    from flows.execution import PipelineRun

logger = logging.getLogger("burnish")
"""Prefect sends it to its server, with the task run it was written in (PREFECT_LOGGING_EXTRA_LOGGERS)."""

_LOG_SECONDS = 5.0
"""Between two lines of a running stage in Prefect's logs."""

_MLFLOW_SECONDS = 1.0
"""Between two metric batches of a running stage."""


class Forwarding:
    """A running stage's progress: to the view at once, to MLflow in batches, to Prefect's page now and then."""

    def __init__(self, run: "PipelineRun", stage: str, mlflow_run: str) -> None:
        self._run, self._stage, self._mlflow_run = run, stage, mlflow_run
        self._numbers = StageNumbers()
        self._artifacts = StageArtifacts(run.artifacts, stage)
        self._artifacts.link(lambda: run.results.mlflow_page(mlflow_run))
        self._unsent: list[Progress] = []
        self._sent = self._logged = 0.0
        self.step = 0

    def __call__(self, progress: Progress) -> None:
        self.step = progress.step
        self._numbers.take(progress)
        self._run.view.progress(self._stage, progress)
        if progress.seconds - self._logged >= _LOG_SECONDS or progress.step == progress.total:
            self._logged = progress.seconds
            logger.info("%s: %s", self._stage, self._numbers.describe())
        if progress.total:
            share = progress.step / progress.total
            self._artifacts.progress(share, progress.seconds, f"{self._stage}: {self._numbers.how_far()}")
        if progress.metrics and not progress.is_repeated:  # the MLflow run of the earlier process has them
            self._unsent.append(progress)
        for alarm in progress.alarms:
            self._pass_on(alarm, progress.is_repeated)
        if progress.seconds - self._sent >= _MLFLOW_SECONDS:
            self._sent = progress.seconds
            self.send()

    def _pass_on(self, alarm: Alarm, is_repeated: bool) -> None:
        run, text = self._run, f"{self._stage}: {alarm_text(alarm)}"
        run.ledger.note_alarm(run.run_id, self._stage, alarm)
        if is_repeated:
            return
        run.view.alarm(self._stage, alarm)
        logger.warning("%s", text)
        if alarm.response != "note":
            tell(run.plan.recipe, "alarm", text)

    def finish(self, metrics: Mapping[str, float]) -> None:
        """The stage is done, and this is what it measured."""
        self._run.results.registry.log_metrics(self._mlflow_run, metrics, self.step)
        self._artifacts.table(metrics)

    def send(self) -> None:
        """Hand on what MLflow has not seen yet."""
        for progress in self._unsent:
            self._run.results.registry.log_metrics(self._mlflow_run, progress.metrics, progress.step)
        self._unsent.clear()
