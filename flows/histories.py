"""How a stage's metrics moved: read from the progress file that its run kept, or that it is still writing.

The file is what the stage's process wrote, one line a report; no other store of histories exists.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from data_contracts.alarms import Alarm
from data_contracts.histories import History, Point
from data_contracts.jobs import Progress
from flows.past_runs import PastStage
from infra.home import Home
from infra.records import Execution, Run


@dataclass(frozen=True, slots=True)
class StageHistory:
    """All that a stage reported."""

    metrics: History = field(default_factory=dict[str, list[Point]])
    alarms: tuple[Alarm, ...] = ()
    seconds: float = 0.0
    step: int = 0
    total: int = 0
    """How far it is: the last line's."""


def history_of(home: Home, execution: Execution) -> StageHistory:
    """Of a finished execution, whichever run made it; empty where the file is gone."""
    return read_history(_kept(home, execution.run_id, execution.stage))


def history_in_run(home: Home, run: Run, past: PastStage) -> StageHistory:
    """Of a stage as a run knows it: that of the execution which made its result, or as far as it came."""
    if past.made_by is not None:
        return history_of(home, past.made_by)
    kept = _kept(home, run.run_id, past.stage.stage)
    return read_history(kept if kept.exists() else home.work_dir / past.stage.key / "progress.jsonl")


def read_history(path: Path) -> StageHistory:
    """Every point of a progress file. Of a step that was repeated after an interruption, the last counts."""
    by_metric: dict[str, dict[int, float]] = {}
    alarms: dict[tuple[int, str], Alarm] = {}
    last = Progress(seconds=0.0, step=0, total=0)
    for last in _lines(path):
        for name, value in last.metrics.items():
            by_metric.setdefault(name, {})[last.step] = value
        alarms |= {(alarm.step, alarm.name): alarm for alarm in last.alarms}
    metrics = {name: sorted(points.items()) for name, points in sorted(by_metric.items())}
    return StageHistory(metrics, tuple(alarms.values()), last.seconds, last.step, last.total)


def _lines(path: Path) -> Iterator[Progress]:
    """Whole lines; the last of a file that is being written may be in two parts."""
    if path.exists():
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        for line in whole.split(b"\n"):
            with contextlib.suppress(
                ValidationError
            ):  # the sign of life at its beginning, or a line of two writers
                yield Progress.model_validate_json(line)


def _kept(home: Home, run_id: str, stage: str) -> Path:
    return home.logs_dir / run_id / f"{stage}.progress.jsonl"
