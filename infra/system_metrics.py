"""The machine's load in MLflow while a stage runs: CPU, memory, disk, network and GPU, as MLflow samples them."""

import contextlib
import logging
from collections.abc import Generator

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

_SAMPLE_SECONDS = 10.0
"""At least, whatever MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL says."""

logger = logging.getLogger("burnish")


@contextlib.contextmanager
def system_metrics(run_id: str, tracking_uri: str) -> Generator[None]:
    """Metrics `system/…` of an MLflow run while the context lasts; none where this machine has no counters."""
    monitor = _start(run_id, tracking_uri)
    try:
        yield
    finally:
        if monitor is not None:
            monitor.finish()


def _start(run_id: str, tracking_uri: str) -> SystemMetricsMonitor | None:
    try:
        monitor = SystemMetricsMonitor(run_id, tracking_uri=tracking_uri)
    except Exception as error:  # noqa: BLE001 - whatever the system's counters raise: no reason to lose a stage
        logger.info("MLflow samples no system metrics here: %s", error)
        return None
    monitor.sampling_interval = max(monitor.sampling_interval, _SAMPLE_SECONDS)
    monitor.start()
    return monitor
