"""What a running stage tells: to the view, MLflow, Prefect's logs, the ledger, and whoever is to be notified."""

import logging
from typing import TYPE_CHECKING

from data_contracts.alarms import Alarm
from data_contracts.jobs import Progress
from flows.announcing import tell
from flows.view import describe

if TYPE_CHECKING:
    from flows.execution import PipelineRun

logger = logging.getLogger("burnish")
"""Prefect sends it to its server, with the task run it was written in (PREFECT_LOGGING_EXTRA_LOGGERS)."""

_LOG_SECONDS = 5.0
"""Between two lines of a running stage in Prefect's logs."""

_MLFLOW_SECONDS = 1.0
"""Between two metric batches of a running stage."""


class Forwarding:
    """A running stage's progress: to the view at once, to MLflow in batches, to Prefect's logs now and then."""

    def __init__(self, run: "PipelineRun", stage: str, mlflow_run: str) -> None:
        self._run, self._stage, self._mlflow_run = run, stage, mlflow_run
        self._metrics: dict[str, float] = {}
        self._unsent: list[Progress] = []
        self._sent = self._logged = 0.0
        self.step = 0

    def __call__(self, progress: Progress) -> None:
        self.step = progress.step
        self._metrics |= progress.metrics
        whole = progress.model_copy(update={"metrics": self._metrics})
        self._run.view.progress(self._stage, whole)
        if progress.seconds - self._logged >= _LOG_SECONDS or progress.step == progress.total:
            self._logged = progress.seconds
            logger.info("%s: %s", self._stage, describe(whole))
        if progress.metrics:
            self._unsent.append(progress)
        for alarm in progress.alarms:
            self._pass_on(alarm, progress.is_repeated)
        if progress.seconds - self._sent >= _MLFLOW_SECONDS:
            self._sent = progress.seconds
            self.send()

    def _pass_on(self, alarm: Alarm, is_repeated: bool) -> None:
        run, text = self._run, f"step {alarm.step}: {alarm.reason} ({alarm.response})"
        run.ledger.note_alarm(run.run_id, self._stage, alarm)
        if is_repeated:
            return
        run.view.say(f"{self._stage}: alarm {alarm.name} at {text}")
        logger.warning("%s: alarm %s at %s", self._stage, alarm.name, text)
        if alarm.response != "note":
            tell(run.plan.recipe, "alarm", f"{self._stage}: {alarm.name} at {text}")

    def send(self) -> None:
        """Hand on what MLflow has not seen yet."""
        for progress in self._unsent:
            self._run.results.registry.log_metrics(self._mlflow_run, progress.metrics, progress.step)
        self._unsent.clear()
