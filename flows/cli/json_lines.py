"""A run's events for programs: one JSON object a line, as they happen."""

import json
import math
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from data_contracts.alarms import Alarm
from data_contracts.jobs import Progress


class JsonLinesView:
    """Every line has `event` and `time`, in seconds since the epoch; numbers that are not finite are null."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # Ctrl-C may come while the main thread writes
        self._is_read = True

    def begin(self, stage: str) -> None:
        self.tell("begin", stage=stage)

    def progress(self, stage: str, progress: Progress) -> None:
        metrics = {name: value if math.isfinite(value) else None for name, value in progress.metrics.items()}
        told = progress.model_dump(mode="json", include={"seconds", "step", "total", "unit", "is_repeated"})
        self.tell("progress", stage=stage, **told, metrics=metrics)

    def alarm(self, stage: str, alarm: Alarm) -> None:
        self.tell("alarm", stage=stage, **alarm.model_dump(mode="json"))

    def wait(self, stage: str, for_what: str) -> None:
        self.tell("wait", stage=stage, text=for_what)

    def end(self, stage: str, state: str, text: str) -> None:
        self.tell("end", stage=stage, state=state, text=text)

    def say(self, text: str) -> None:
        self.tell("say", text=text)

    def close(self) -> None: ...

    def tell(self, event: str, **told: Any) -> None:
        """Whoever has stopped reading stops no run."""
        document: Mapping[str, Any] = {"event": event, "time": round(time.time(), 3), **told}
        with self._lock:
            try:
                if self._is_read:
                    sys.stdout.write(json.dumps(document) + "\n")
                    sys.stdout.flush()
            except BrokenPipeError:
                self._is_read = False
